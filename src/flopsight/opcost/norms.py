"""Normalizations and softmax: operations a value by docs/concepts/counting-vector-work.

    RMSNorm 3, LayerNorm and the like 5; one for a weight and one for a bias; backward twice that
    softmax 5, backward 10

Means and deviations, which are small, are left out of the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flopsight.opcost.call import Call, Tensor, dense
from flopsight.opcost.elements import moved
from flopsight.opcost.value import OpCost
from flopsight.opnames import FLOPS_AN_ELEMENT

LAYER: Final = 5
RMS: Final = 3


@dataclass(frozen=True, slots=True)
class Norm:
    """Places of a normalization's tensors; the bias follows the weight, where there is one.

    each      operations a value
    x, weight, gradient
    mask      of the gradients asked for: of x, weight and bias
    """

    each: int
    weight: int
    x: int = 0
    gradient: int | None = None
    mask: int | None = None
    bias: bool = True


def _of(norm: Norm) -> Callable[[Call], OpCost]:
    return lambda call: _cost(call, norm)


def _cost(call: Call, norm: Norm) -> OpCost:
    x = call.tensor(norm.x)
    weight = call.maybe(norm.weight)
    bias = call.maybe(norm.weight + 1) if norm.bias and norm.each == LAYER else None
    affine = [t for t in (weight, bias) if t is not None and len(t.dims) <= len(x.dims)]
    out = dense(x.dims, x.dtype)
    if norm.gradient is None:
        return moved("normalization", (norm.each + len(affine)) * x.numel, [x, *affine], [out])
    # where no bias is recorded it has one if it has a weight
    several = len(affine) if norm.bias else len(affine) * (2 if norm.each == LAYER else 1)
    work = 2 * (norm.each + several) * x.numel
    read = [call.tensor(norm.gradient), x, *([weight] if weight is not None else [])]
    return moved("normalization", work, read, _gradients(call, norm, out, weight))


def _gradients(call: Call, norm: Norm, out: Tensor, weight: Tensor | None) -> list[Tensor]:
    """Those that are asked for; a bias is as large as the weight."""
    wanted = call.flags(norm.mask) if norm.mask is not None else []
    to_x, *others = wanted if len(wanted) in (2, 3) else [True] * (3 if norm.each == LAYER else 2)
    small = [dense(weight.dims, weight.dtype)] if weight is not None else []
    return [out] * to_x + small * sum(others)


def _softmax(call: Call) -> OpCost:
    x = call.tensor(0)
    dtype = call.dtype(2) if "log_softmax" in call.name or call.name == "aten::softmax" else ""
    return moved("softmax", 5 * x.numel, call.tensors(), [dense(x.dims, dtype or x.dtype)])


def _inner_softmax(call: Call) -> OpCost:
    """(x, dim, half to float): the flag asks for fp32 of fp16."""
    x = call.tensor(0)
    dtype = "fp32" if call.flag(2) else x.dtype
    return moved("softmax", 5 * x.numel, call.tensors(), [dense(x.dims, dtype)])


def _softmax_backward(call: Call) -> OpCost:
    """(gradient, output, dim, format of the input)."""
    gradient, out = call.tensor(0), call.tensor(1)
    work = FLOPS_AN_ELEMENT["_softmax_backward_data"] * out.numel
    return moved("softmax", work, [gradient, out], [dense(out.dims, call.dtype(3) or out.dtype)])


_FORWARD: Final = {
    "layer_norm": Norm(LAYER, 2), "native_layer_norm": Norm(LAYER, 2), "group_norm": Norm(LAYER, 2),
    "native_group_norm": Norm(LAYER, 1), "batch_norm": Norm(LAYER, 1), "native_batch_norm": Norm(LAYER, 1),
    "_native_batch_norm_legit": Norm(LAYER, 1), "_native_batch_norm_legit_no_training": Norm(LAYER, 1),
    "_batch_norm_with_update": Norm(LAYER, 1), "_batch_norm_impl_index": Norm(LAYER, 1),
    "cudnn_batch_norm": Norm(LAYER, 1), "miopen_batch_norm": Norm(LAYER, 1), "instance_norm": Norm(LAYER, 1),
    "rms_norm": Norm(RMS, 2), "_fused_rms_norm": Norm(RMS, 2),
}  # fmt: skip
_BACKWARD: Final = {
    "native_layer_norm_backward": Norm(LAYER, 5, x=1, gradient=0, mask=7),
    "native_group_norm_backward": Norm(LAYER, 4, x=1, gradient=0, mask=9, bias=False),
    "native_batch_norm_backward": Norm(LAYER, 2, x=1, gradient=0, mask=9, bias=False),
    "batch_norm_backward": Norm(LAYER, 2, x=1, gradient=0, mask=9, bias=False),
    "cudnn_batch_norm_backward": Norm(LAYER, 2, x=0, gradient=1, bias=False),
    "miopen_batch_norm_backward": Norm(LAYER, 2, x=0, gradient=1, bias=False),
    "_fused_rms_norm_backward": Norm(RMS, 4, x=1, gradient=0, mask=5),
}
TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    **{f"aten::{name}": _of(norm) for name, norm in (_FORWARD | _BACKWARD).items()},
    "aten::softmax": _softmax, "aten::log_softmax": _softmax, "aten::_softmax": _inner_softmax,
    "aten::_log_softmax": _inner_softmax, "aten::_safe_softmax": _softmax, "aten::_masked_softmax": _softmax,
    "aten::_softmax_backward_data": _softmax_backward, "aten::_log_softmax_backward_data": _softmax_backward,
}  # fmt: skip
