"""Sums, extremes, norms and sorts: one operation an element of the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from flopsight.opcost.call import Call, Tensor, Unclear, dense
from flopsight.opcost.elements import WHOLE, elementwise, moved, numbers
from flopsight.opcost.value import OpCost

SAME: Final = ""
"""The result has the format of the input."""
INDEX: Final = "int64"


def _reduced(dim: int, formats: tuple[str, ...], asked: int | None = None) -> Callable[[Call], OpCost]:
    """A result of each of these formats; `dim` is the place of the dimensions, `asked` that of a format."""

    def formula(call: Call) -> OpCost:
        x = call.tensor(0)
        dims = _left(call, x, dim)
        usual = call.dtype(asked) if asked is not None else ""
        made = [dense(dims, one or usual or _summed(call, x)) for one in formats]
        return moved("reduction", numbers(x), [x], made)

    return formula


def _summed(call: Call, x: Tensor) -> str:
    """Sums and products of whole numbers are 64 bits wide."""
    wide = call.name in ("aten::sum", "aten::prod", "aten::cumsum", "aten::cumprod", "aten::nansum")
    return "int64" if wide and x.dtype in WHOLE else x.dtype


def _left(call: Call, x: Tensor, dim: int) -> tuple[int, ...]:
    """Sizes that are left: all dimensions go where none is named (the order of a norm is not one)."""
    gone = set(call.wholes(dim))
    if not all(-len(x.dims) <= at < max(1, len(x.dims)) for at in gone):
        raise Unclear("no such dimension")
    if not gone:
        return ()
    at_front = {at % max(1, len(x.dims)) for at in gone}
    return tuple(n for at, n in enumerate(x.dims) if at not in at_front)


def _extreme(call: Call) -> OpCost:
    """max and min: of two tensors, of all elements, or along a dimension with the places."""
    if call.maybe(1) is not None:
        return elementwise(call, call.name.removeprefix("aten::"))
    along = bool(call.wholes(1))
    return _reduced(1, (SAME, INDEX) if along else (SAME,))(call)


def _running(*formats: str) -> Callable[[Call], OpCost]:
    """Cumulative sums and sorts: as many elements as before."""

    def formula(call: Call) -> OpCost:
        x = call.tensor(0)
        asked = call.dtype(2) if call.name in ("aten::cumsum", "aten::cumprod") else ""
        kind = "reduction" if formats == (SAME,) else "sort"
        return moved(kind, numbers(x), [x], [dense(x.dims, one or asked or _summed(call, x)) for one in formats])

    return formula


def _topk(call: Call) -> OpCost:
    """topk(x, k, dim, ..): values and places."""
    x, k, at = call.tensor(0), call.whole(1), call.whole(2)
    if k is None or at is None or not -len(x.dims) <= at < len(x.dims):
        raise Unclear("how many are kept is not recorded")
    dims = list(x.dims)
    dims[at] = k
    return moved("sort", numbers(x), [x], [dense(tuple(dims), one) for one in (x.dtype, INDEX)])


def _found(call: Call) -> OpCost:
    """How many there are depends on values: what is written is not known."""
    read = call.tensors()
    return replace(moved("sort", 0, read, []), writes=-1)


def _placed(call: Call) -> OpCost:
    """bucketize(x, edges, ..) and, the other way round, searchsorted(edges, x, ..): a place for each element of x."""
    x = call.tensor(1 if "search" in call.name else 0)
    return moved("sort", 0, call.tensors(), [dense(x.dims, "int32" if call.flag(2) else INDEX)])


def _table() -> dict[str, Callable[[Call], OpCost]]:
    found: dict[str, Callable[[Call], OpCost]] = {
        name: _reduced(1, (SAME,)) for name in ("amax", "amin", "var", "std", "logsumexp")
    }
    found |= {name: _reduced(1, (SAME,), 3) for name in ("sum", "mean", "nansum", "prod")}
    found |= {name: _reduced(1, (INDEX,)) for name in ("argmax", "argmin")}
    found |= {name: _reduced(1, ("bool",)) for name in ("any", "all")}
    found |= {name: _reduced(1, (SAME, SAME)) for name in ("var_mean", "std_mean")}
    found |= {
        "norm": _reduced(2, (SAME,)),
        "linalg_vector_norm": _reduced(2, (SAME,), 4),
        "max": _extreme,
        "min": _extreme,
    }
    found |= {name: _running(SAME) for name in ("cumsum", "cumprod", "cumsum_", "logcumsumexp")}
    found |= {name: _running(SAME, INDEX) for name in ("sort", "cummax", "cummin")}
    found |= {"argsort": _running(INDEX), "topk": _topk}
    found |= dict.fromkeys(
        ("nonzero", "_unique2", "unique_dim", "unique_consecutive", "bincount", "masked_select"), _found
    )
    found |= {"bucketize": _placed, "searchsorted": _placed, "aminmax": _reduced(1, (SAME, SAME))}
    return {f"aten::{name}": formula for name, formula in found.items()}


TABLE: Final = _table()
