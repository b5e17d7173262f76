"""Copies: what is read is written again, sometimes in another format or shape."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Final

from flopsight.opcost.call import Call, Tensor, Unclear, dense, promoted
from flopsight.opcost.elements import moved
from flopsight.opcost.value import OpCost


def _copied(read: list[Tensor], written: Tensor) -> OpCost:
    return moved("copy", 0, read, [written], "copy")


def _copy_(call: Call) -> OpCost:
    """copy_(target, source)"""
    target, source = call.tensor(0), call.tensor(1)
    return _copied([source], dense(target.dims, target.dtype))


def _same(call: Call) -> OpCost:
    """A whole copy."""
    x = call.tensor(0)
    return _copied([x], dense(x.dims, x.dtype))


def _converted(call: Call) -> OpCost:
    """_to_copy(x, dtype, ..)"""
    x = call.tensor(0)
    return _copied([x], dense(x.dims, call.dtype(1) or x.dtype))


def _cat(call: Call) -> OpCost:
    """cat and stack (tensors[], dim): elements are copied; a list's format is not recorded, nor then its bytes."""
    parts = call.listed(0)
    if not parts:
        raise Unclear("no tensors")
    return _copied(parts, dense((sum(t.numel for t in parts),), promoted(parts)))


def _padded(call: Call) -> OpCost:
    """constant_pad_nd(x, [before, after of the last dimension, of the one before ..])"""
    x, pads = call.tensor(0), call.wholes(1)
    if len(pads) % 2 or len(pads) > 2 * len(x.dims) or not pads:
        raise Unclear("padding is not recorded")
    dims = list(x.dims)
    for at in range(len(pads) // 2):
        dims[-1 - at] += pads[2 * at] + pads[2 * at + 1]
    return _copied([x], dense(tuple(dims), x.dtype))


def _repeated(call: Call) -> OpCost:
    """repeat(x, [times of each dimension])"""
    x, times = call.tensor(0), call.wholes(1)
    if len(times) < len(x.dims) or not times:
        raise Unclear("repeats are not recorded")
    return _copied([x], dense((x.numel * prod(times),), x.dtype))


def _sized(call: Call) -> OpCost:
    """slice_backward and select_backward(gradient, sizes, ..): zeros with the gradient in them."""
    gradient, sizes = call.tensor(0), call.wholes(1)
    if not call.value(1):
        raise Unclear("sizes are not recorded")
    return _copied([gradient], dense(tuple(sizes), gradient.dtype))


_SAME: Final = (
    "clone", "flip", "roll", "rot90", "tril", "triu", "tril_", "triu_", "channel_shuffle", "pixel_shuffle",
    "pixel_unshuffle", "_lazy_clone",
)  # fmt: skip
TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    **{f"aten::{name}": _same for name in _SAME}, "aten::copy_": _copy_, "aten::_to_copy": _converted,
    "aten::cat": _cat, "aten::stack": _cat, "aten::concat": _cat, "aten::concatenate": _cat, "aten::_cat": _cat,
    "aten::constant_pad_nd": _padded, "aten::repeat": _repeated, "aten::slice_backward": _sized,
    "aten::select_backward": _sized, "aten::diagonal_backward": _sized,
}  # fmt: skip
