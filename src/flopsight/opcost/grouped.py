"""Grouped products: many matrices of unequal size in one call, as the experts of a mixture are multiplied.

    rows times weights    [t, k] x [g, k, n], rows split by offsets
    weights times rows    [g, m, k] x [k, t], columns split
    weight gradients      [m, t] x [t, n], the inner side split: g results
    a plain batch         [g, m, k] x [g, k, n]

Offsets are values, which are not recorded: all rows are taken, those that pad beyond the last offset too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from flopsight.opcost.call import Call, Unclear, dense, total
from flopsight.opcost.products import packed, product
from flopsight.opcost.value import OpCost

SPLIT: Final = "how the rows are split into groups is not recorded: all rows are counted, padding too"


def _grouped(offsets: int, out: int) -> Callable[[Call], OpCost]:
    def formula(call: Call) -> OpCost:
        left, right = call.tensor(0), call.tensor(1)
        found = _sizes(left.dims, right.dims)
        batch, m, n, k = found
        dtype = call.dtype(out) or ("bf16" if left.dtype.startswith("fp8") or left.dtype == "fp4" else left.dtype)
        note = "" if len(left.dims) == len(right.dims) == 3 else SPLIT
        cost = product([left, right], batch, m, n, k * packed(left), out=dtype, note=note)
        cost = replace(cost, reads=total(call.tensors()))
        if len(left.dims) == len(right.dims) == 2:
            groups = call.tensor(offsets).numel
            return replace(cost, writes=total([dense((groups, m, n), dtype)]))
        return cost

    return formula


def _sizes(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Batch, rows, columns and inner size of one product as large as all groups together."""
    if len(a) not in (2, 3) or len(b) not in (2, 3) or a[-1] != b[-2]:
        raise Unclear("no grouped product")
    if len(a) == 3 and len(b) == 3:
        if a[0] != b[0]:
            raise Unclear("groups differ")
        return a[0], a[1], b[2], a[2]
    return 1, a[-2], b[-1], a[-1]


TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    "aten::_grouped_mm": _grouped(2, 4), "aten::_scaled_grouped_mm": _grouped(4, 7),
    "aten::_scaled_grouped_mm_v2": _grouped(8, 10),
}  # fmt: skip
