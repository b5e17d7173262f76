"""One recorded op -> its cost."""

from __future__ import annotations

from functools import lru_cache

from flopsight.opcost import attention, convolution, products
from flopsight.opcost.call import Call, Unclear
from flopsight.opcost.value import OpCost
from flopsight.opcost.vector import vector
from flopsight.trace import Signature

_TABLE = products.TABLE | attention.TABLE | convolution.TABLE


@lru_cache(maxsize=1 << 16)
def cost(name: str, signature: Signature) -> OpCost | None:
    """What one call of an op costs, from its name as the profiler writes it and its recorded shapes.

    None where no formula covers the op, or where the record does not hold what its formula needs.
    """
    call = Call(name, signature)
    try:
        formula = _TABLE.get(name)
        return formula(call) if formula is not None else vector(call)
    except (Unclear, OverflowError, IndexError, ZeroDivisionError):  # a record that does not fit its formula
        return None
