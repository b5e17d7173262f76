"""Sums, extremes, norms, sorts, pooling and losses: one operation an element of the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flopsight.opcost.call import Call, Tensor, Unclear, dense
from flopsight.opcost.elements import WHOLE, elementwise, moved
from flopsight.opcost.places import Steps, places
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
        return moved("reduction", _work(x), [x], made)

    return formula


def _work(x: Tensor) -> int:
    return 0 if x.dtype in WHOLE else x.numel


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
        return moved(kind, _work(x), [x], [dense(x.dims, one or asked or _summed(call, x)) for one in formats])

    return formula


def _topk(call: Call) -> OpCost:
    """topk(x, k, dim, ..): values and places."""
    x, k, at = call.tensor(0), call.whole(1), call.whole(2)
    if k is None or at is None or not -len(x.dims) <= at < len(x.dims):
        raise Unclear("how many are kept is not recorded")
    dims = list(x.dims)
    dims[at] = k
    return moved("sort", _work(x), [x], [dense(tuple(dims), one) for one in (x.dtype, INDEX)])


def _pooled(steps: Steps, indices: bool) -> Callable[[Call], OpCost]:
    """(x, window, stride, padding, ..): a stride that is not given is the window."""

    def formula(call: Call) -> OpCost:
        x, kernel = call.tensor(0), call.wholes(1)
        spatial = 3 if "3d" in call.name else 1 if "1d" in call.name else 2
        if len(x.dims) <= spatial or len(kernel) not in (1, spatial) or not call.wholes(steps.stride):
            raise Unclear("the window is not recorded")
        window = tuple(kernel * spatial if len(kernel) == 1 else kernel)
        if call.flag(4 if not indices else 5):
            raise Unclear("sizes are rounded up")
        dims = (*x.dims[:-spatial], *places(call, x.dims[-spatial:], window, steps))
        return moved("reduction", _work(x), [x], [dense(dims, x.dtype), *([dense(dims, INDEX)] if indices else [])])

    return formula


def _adaptive(call: Call) -> OpCost:
    """(x, sizes of the output)"""
    x, sizes = call.tensor(0), call.wholes(1)
    if not sizes or len(sizes) >= len(x.dims):
        raise Unclear("sizes are not recorded")
    return moved("reduction", _work(x), [x], [dense((*x.dims[: -len(sizes)], *sizes), x.dtype)])


def _nll(call: Call) -> OpCost:
    """nll_loss_forward(log-probabilities [n, c], targets [n], ..): one of each row is read."""
    x, target = call.tensor(0), call.tensor(1)
    picked = dense(target.dims, x.dtype)
    out = [dense((), x.dtype)] if call.whole(3) in (1, 2) else [picked]
    return moved("loss", picked.numel, [picked, target], out)


def _nll_backward(call: Call) -> OpCost:
    """nll_loss_backward(gradient, log-probabilities, targets, ..): zeros but for one of each row."""
    gradient, x, target = call.tensor(0), call.tensor(1), call.tensor(2)
    return moved("loss", target.numel, [gradient, target], [dense(x.dims, x.dtype)])


def _cross_entropy(call: Call) -> OpCost:
    """Softmax, and one of each row: the ops inside count where they are recorded."""
    x, target = call.tensor(0), call.tensor(1)
    return moved("loss", 5 * x.numel + target.numel, [x, target], [])


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
    found["max_pool2d_with_indices"] = _pooled(Steps(2, 3, 4), True)
    found["max_pool3d_with_indices"] = _pooled(Steps(2, 3, 4), True)
    found["avg_pool2d"] = found["avg_pool3d"] = _pooled(Steps(2, 3), False)
    found |= {f"{name}adaptive_avg_pool{n}d": _adaptive for n in (2, 3) for name in ("", "_")}
    found |= {"nll_loss_forward": _nll, "nll_loss": _nll, "nll_loss_nd": _nll, "nll_loss_backward": _nll_backward}
    found["cross_entropy_loss"] = _cross_entropy
    return {f"aten::{name}": formula for name, formula in found.items()}


TABLE: Final = _table()
