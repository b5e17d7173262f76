"""Pooling and resampling of images: one operation an element of the larger side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flopsight.opcost.call import Call, Unclear, dense
from flopsight.opcost.elements import moved, numbers
from flopsight.opcost.places import Steps, places
from flopsight.opcost.value import OpCost

INDEX: Final = "int64"


def _pooled(steps: Steps, indices: bool) -> Callable[[Call], OpCost]:
    """(x, window, stride, padding, ..): a stride that is not given is the window."""

    def formula(call: Call) -> OpCost:
        x, kernel = call.tensor(0), call.wholes(1)
        spatial = 3 if "3d" in call.name else 1 if "1d" in call.name else 2
        if len(x.dims) <= spatial or len(kernel) not in (1, spatial):
            raise Unclear("the window is not recorded")
        if call.flag(5 if indices else 4) is not False:
            raise Unclear("sizes may be rounded up")
        window = tuple(kernel * spatial if len(kernel) == 1 else kernel)
        step = list(window) if call.value(steps.stride) == "[]" else None
        dims = (*x.dims[:-spatial], *places(call, x.dims[-spatial:], window, steps, stride=step))
        made = [dense(dims, x.dtype), *([dense(dims, INDEX)] if indices else [])]
        return moved("reduction", numbers(x), [x], made)

    return formula


def _adaptive(call: Call) -> OpCost:
    """(x, sizes of the output)"""
    x, sizes = call.tensor(0), call.wholes(1)
    if not sizes or len(sizes) >= len(x.dims):
        raise Unclear("sizes are not recorded")
    return moved("reduction", numbers(x), [x], [dense((*x.dims[: -len(sizes)], *sizes), x.dtype)])


def _resampled(call: Call) -> OpCost:
    """upsample_*(x, sizes of the output, ..)"""
    x, sizes = call.tensor(0), call.wholes(1)
    if not sizes or len(x.dims) != len(sizes) + 2:
        raise Unclear("sizes are not recorded")
    out = dense((*x.dims[:2], *sizes), x.dtype)
    return moved("elementwise", numbers(out), [x], [out])


def _resampled_backward(call: Call) -> OpCost:
    """upsample_*_backward(gradient, sizes of the output, sizes of the input, ..)"""
    gradient, sizes = call.tensor(0), call.wholes(2)
    if not sizes:
        raise Unclear("sizes are not recorded")
    return moved("elementwise", numbers(gradient), [gradient], [dense(tuple(sizes), gradient.dtype)])


def _pooled_backward(places_of: int | None) -> Callable[[Call], OpCost]:
    """(gradient, x, .., where the largest were): the input's gradient is written whole, the input itself not read."""

    def formula(call: Call) -> OpCost:
        gradient, x = call.tensor(0), call.tensor(1)
        read = [gradient, *([] if places_of is None else [call.tensor(places_of)])]
        return moved("reduction", numbers(x), read, [dense(x.dims, x.dtype)])

    return formula


_SAMPLERS: Final = (
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d",
    "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_nearest_exact2d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
)  # fmt: skip
_LARGEST: Final = _pooled(Steps(2, 3, 4), True)
_MEAN: Final = _pooled(Steps(2, 3), False)
TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    "aten::max_pool2d_with_indices": _LARGEST, "aten::max_pool3d_with_indices": _LARGEST, "aten::avg_pool2d": _MEAN,
    "aten::avg_pool3d": _MEAN, "aten::avg_pool2d_backward": _pooled_backward(None),
    "aten::avg_pool3d_backward": _pooled_backward(None),
    "aten::max_pool2d_with_indices_backward": _pooled_backward(7),
    "aten::max_pool3d_with_indices_backward": _pooled_backward(7),
    **{f"aten::{name}adaptive_avg_pool{n}d": _adaptive for n in (2, 3) for name in ("", "_")},
    **{f"aten::_adaptive_avg_pool{n}d_backward": _pooled_backward(None) for n in (2, 3)},
    **{f"aten::{name}": _resampled for name in _SAMPLERS},
    **{f"aten::{name}_backward": _resampled_backward for name in _SAMPLERS},
}  # fmt: skip
