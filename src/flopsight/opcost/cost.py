"""One recorded op -> its cost."""

from __future__ import annotations

from functools import lru_cache

from flopsight.opcost import (
    attention,
    convolution,
    copies,
    elements,
    elsewhere,
    grouped,
    images,
    lookups,
    losses,
    norms,
    optimizers,
    products,
    recurrent,
    reductions,
    writes,
)
from flopsight.opcost.call import Call, Unclear
from flopsight.opcost.value import SHAPE, OpCost
from flopsight.opcost.views import VIEWS
from flopsight.opnames import FREE, WRITE
from flopsight.trace import Signature

_ROOMS = (
    products, grouped, elsewhere, recurrent, attention, convolution, norms, lookups, copies, reductions, optimizers,
    images, losses, elements,
)  # fmt: skip
FORMULAS = {name: formula for room in _ROOMS for name, formula in room.TABLE.items()}


@lru_cache(maxsize=1 << 16)
def cost(name: str, signature: Signature) -> OpCost | None:
    """What one call of an op costs, from its name as the profiler writes it and its recorded shapes.

    None where no formula covers the op, or where the record does not hold what its formula needs.
    """
    call = Call(name, signature)
    formula = FORMULAS.get(name)
    try:
        return formula(call) if formula is not None else _by_kind(call)
    except (Unclear, OverflowError):
        return None


def _by_kind(call: Call) -> OpCost | None:
    """Ops that are known by what they do, not one by one; None for all others."""
    space, _, name = call.name.partition("::")
    if space not in ("aten", "prims"):
        return None
    if name in VIEWS or name in FREE:
        return SHAPE
    if name in WRITE:
        return writes.written(call, name)
    if name == "_foreach_copy_":
        return elements.copied_lists(call)
    if name.startswith("_foreach_"):
        return elements.on_lists(call, name)
    if name.removesuffix("_") in elements.DROPOUT:
        return elements.dropped(call, name)
    return elements.elementwise(call, name) if elements.known(name) and call.tensors() else None
