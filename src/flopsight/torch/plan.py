"""What to do with an op, decided once an op: nothing, open it, add its elements up, or ask its formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from flopsight.counted import Bytes, Flops
from flopsight.torch import formulas  # noqa: F401 - fills the table
from flopsight.torch.call import Call
from flopsight.torch.kinds import Kind, kind_of
from flopsight.torch.registry import CUSTOM, FORMULAS, Answer, Custom, as_flops
from flopsight.torch.traffic import TRAFFIC, Traffic
from flopsight.torch.vector import VECTOR

Do = Literal["nothing", "open", "elements", "formula", "strange"]


@dataclass(frozen=True, slots=True, eq=False)
class OpPlan:
    """How calls of one op are counted.

    name      "aten.mm.default"
    schema    "aten::mm"
    do        "nothing" for views and questions; "open" for composites that consist of other ops; "strange" for custom
              ops without a formula
    elements  vector FLOPs and bytes from (args, kwargs, out), where do is "elements"
    formula   matrix FLOPs, and bytes if the formula knows better than the sum of the tensors
    missing   why the FLOPs of this op are not counted; empty where they are
    """

    name: str
    schema: str
    do: Do
    elements: Callable[[Any, Any, Any], Traffic] = TRAFFIC["pointwise"]
    formula: Callable[[Call], tuple[Answer, Bytes | None]] | None = None
    missing: str = ""


def plan_of(op: Any) -> OpPlan:
    """The plan of an op: the user's formula first, then ours, then what it is made of, then its kind."""
    name = op._schema.name
    if name in CUSTOM:
        return OpPlan(str(op), name, "formula", formula=_asked(CUSTOM[name]))
    if name in FORMULAS:
        known = FORMULAS[name]
        return OpPlan(str(op), name, "formula", formula=lambda call: (known(call), None))
    if name in VECTOR:
        return OpPlan(str(op), name, "elements", VECTOR[name])
    if op is not torch.ops.prim.device.default and op._can_decompose():
        return OpPlan(str(op), name, "open")
    kind = kind_of(op)
    if kind == "free":
        return OpPlan(str(op), name, "nothing")
    do: Do = "strange" if kind == "strange" else "elements"
    return OpPlan(str(op), name, do, TRAFFIC[kind], missing=_why(name, kind))


def _asked(custom: Custom) -> Callable[[Call], tuple[Answer, Bytes | None]]:
    def ask(call: Call) -> tuple[Flops, Bytes | None]:
        flops = as_flops(custom.flops(*call.args, out=call.out, **call.kwargs))
        moved = None if custom.bytes is None else custom.bytes(*call.args, out=call.out, **call.kwargs)
        return flops, Bytes(moved) if isinstance(moved, int) else moved

    return ask


def _why(name: str, kind: Kind) -> str:
    if kind == "strange":
        return f"a custom op; give its formula with flopsight.torch.register({name!r}, ...)"
    return "it looks like a contraction and has no formula" if kind == "contraction" else ""
