"""The dispatch mode that sees every op of a running program and adds its work up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from flopsight.counted import Amount, Bytes, Counted, During, Flops, Row, Uncounted
from flopsight.torch import formulas  # noqa: F401 - fills the table
from flopsight.torch.call import Call, nbytes, tensors
from flopsight.torch.kinds import Kind, kind_of
from flopsight.torch.passes import Passes
from flopsight.torch.registry import CUSTOM, FORMULAS, Custom, Uncountable, as_flops

PLAIN: Final = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer, FakeTensor)
NOTHING: Final = Flops()
Plan = Kind | Custom | Callable[[Call], Flops | Uncountable]
Key = tuple[str, str, During, torch.dtype, str]


class CountingMode(TorchDispatchMode):
    """Counts while it is entered; `rows` by (module, op, pass, dtype, engine) hold running sums."""

    supports_higher_order_operators = True

    def __init__(self, passes: Passes) -> None:
        super().__init__()
        self.passes = passes
        self.rows: dict[Key, list[int]] = {}
        self.missing: dict[tuple[str, str, str], int] = {}
        self.notes: dict[str, None] = {}
        self._plans: dict[Any, Plan | Literal["open"]] = {}

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the op, then add its work up."""
        kwargs = kwargs or {}
        for kind in types:
            if kind not in PLAIN:
                return NotImplemented  # a subclass (DTensor, quantized) unpacks itself; its plain ops come back here
        plan = self._plans.get(op)
        if plan is None:
            plan = self._plans[op] = _plan(op)
        if plan == "open":
            with self:
                return op.decompose(*args, **kwargs)
        out = op(*args, **kwargs)
        if plan != "free":
            self._add(op, plan, args, kwargs, out)
        return out

    def _add(self, op: Any, plan: Plan, args: Any, kwargs: Any, out: Any) -> None:
        module, during = self.passes.now()
        if isinstance(plan, str):
            elementwise, reads, writes = _elements(plan, args, kwargs, out)
            if plan in ("contraction", "strange"):
                self.miss(op, module, _why(op, plan))
            self.sum(module, op, during, _dtype(args, out), "vector", NOTHING, elementwise, reads, writes)
            return
        flops, moved = _work(plan, Call(op, args, kwargs, out))
        if isinstance(flops, Uncountable):
            self.miss(op, module, flops.why)
            flops = NOTHING
        reads, writes = (moved.reads, moved.writes) if moved else _traffic(args, kwargs, out)
        self.sum(module, op, during, _dtype(args, out), "matrix", flops, 0, reads, writes)

    def sum(
        self, module: str, op: Any, during: During, dtype: torch.dtype, engine: str, flops: Flops, elementwise: int,
        reads: int, writes: int,
    ) -> None:  # fmt: skip
        """Add one call; work that is run again or that optimizes is executed, not required."""
        key = (module, str(op), during, dtype, engine)
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = [0, 0, 0, 0, 0, 0, 0]
        row[0] += 1
        if during in ("forward", "backward"):
            row[1] += flops.required
            row[2] += flops.full_square
        row[3] += flops.executed
        row[4] += elementwise
        row[5] += reads
        row[6] += writes

    def miss(self, op: Any, module: str, why: str) -> None:
        """Say that an op's FLOPs are missing."""
        key = (str(op), module, why)
        self.missing[key] = self.missing.get(key, 0) + 1

    def note(self, text: str) -> None:
        """Say what was taken for granted, once."""
        self.notes[text] = None

    def counted(self) -> Counted:
        """What was counted until now."""
        rows = (
            Row(module, op, during, dtype_name(dtype), engine, Amount(r[0], Flops(*r[1:4]), r[4], Bytes(r[5], r[6])))  # type: ignore[arg-type]
            for (module, op, during, dtype, engine), r in self.rows.items()
        )
        missing = (Uncounted(op, calls, why, module) for (op, module, why), calls in self.missing.items())
        return Counted(tuple(rows), tuple(missing), tuple(self.notes))


def _plan(op: Any) -> Plan | Literal["open"]:
    """What to do with an op: a formula, "open" (a composite that says what it is made of), or its kind."""
    name = op._schema.name
    if name in CUSTOM:
        return CUSTOM[name]
    if name in FORMULAS:
        return FORMULAS[name]
    if op._can_decompose() and op is not torch.ops.prim.device.default:
        return "open"
    return kind_of(op)


def _work(plan: Custom | Callable[[Call], Flops | Uncountable], call: Call) -> tuple[Flops | Uncountable, Bytes | None]:
    if not isinstance(plan, Custom):
        return plan(call), None
    flops = as_flops(plan.flops(*call.args, out=call.out, **call.kwargs))
    moved = None if plan.bytes is None else plan.bytes(*call.args, out=call.out, **call.kwargs)
    return flops, Bytes(moved) if isinstance(moved, int) else moved


def _why(op: Any, kind: Kind) -> str:
    if kind == "strange":
        name = op._schema.name
        return f"a custom op; give its formula with flopsight.torch.register({name!r}, ...)"
    return "it looks like a contraction and has no formula"


def _elements(kind: Kind, args: Any, kwargs: Any, out: Any) -> tuple[int, int, int]:
    """(vector FLOPs, bytes read, bytes written) of an op on elements."""
    inputs = list(tensors(args))
    written = sum(nbytes(t) for t in tensors((out,)))
    if kind == "write":
        return 0, 0, written
    if kind == "gather":
        return 0, written + sum(nbytes(t) for t in inputs[1:]), written
    if kind == "scatter":
        source = sum(nbytes(t) for t in inputs[1:])
        return 0, source, source
    read = sum({id(t): nbytes(t) for t in (*inputs, *tensors(kwargs.values()))}.values())
    if kind == "move":
        return 0, (read if len(inputs) < 2 or inputs[0] is not out else read - nbytes(inputs[0])), written
    if kind == "pointwise":
        return sum(t.numel() for t in tensors((out,)) if t.is_floating_point()), read, written
    return sum(t.numel() for t in inputs if t.is_floating_point()), read, written


def _traffic(args: Any, kwargs: Any, out: Any) -> tuple[int, int]:
    read = {id(t): nbytes(t) for t in tensors((*args, *kwargs.values()))}
    return sum(read.values()), sum(nbytes(t) for t in tensors((out,)))


def _dtype(args: Any, out: Any) -> torch.dtype:
    for value in args:
        if isinstance(value, torch.Tensor):
            return value.dtype
    return next((t.dtype for t in tensors((*args, out))), torch.float32)


def dtype_name(dtype: torch.dtype) -> str:
    """Our word for a torch number format: "bf16"."""
    return _names().get(dtype, str(dtype).removeprefix("torch."))


def _names() -> dict[torch.dtype, str]:
    return {
        torch.float64: "fp64", torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16",
        torch.float8_e4m3fn: "fp8_e4m3", torch.float8_e5m2: "fp8_e5m2", torch.float8_e4m3fnuz: "fp8_e4m3",
        torch.float8_e5m2fnuz: "fp8_e5m2",
    }  # fmt: skip
