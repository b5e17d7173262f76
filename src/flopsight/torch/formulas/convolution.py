"""Convolutions: every output position times every tap and input channel of its group; padded taps are counted.

    2 · batch · positions · c_out · (c_in / groups) · taps

Transposed ones multiply every input position instead. Backward: the gradient of the input and that of the weight are
each one such product, whatever the groups.
"""

from __future__ import annotations

from math import prod
from typing import Any

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.registry import formula, same


@formula(
    "aten::convolution", "aten::_convolution", "aten::convolution_overrideable", "aten::cudnn_convolution",
    "aten::cudnn_convolution_relu", "aten::cudnn_convolution_add_relu", "aten::miopen_convolution",
    "aten::miopen_convolution_relu", "aten::miopen_convolution_add_relu", "aten::miopen_depthwise_convolution",
    "aten::mkldnn_convolution", "aten::_mps_convolution", "aten::_nnpack_spatial_convolution",
    "aten::_slow_conv2d_forward", "aten::slow_conv3d_forward", "aten::slow_conv_dilated2d",
    "aten::slow_conv_dilated3d", "aten::_conv_depthwise2d", "aten::conv_depthwise3d",
    "mkldnn::_convolution_pointwise",
)  # fmt: skip
def convolution(call: Call) -> Flops:
    """Forward."""
    return same(_flops(call.args[0], _weight(call), call.result, transposed=_transposed(call)))


@formula(
    "aten::cudnn_convolution_transpose", "aten::miopen_convolution_transpose", "aten::_mps_convolution_transpose",
    "aten::slow_conv_transpose2d", "aten::slow_conv_transpose3d", "mkldnn::_convolution_transpose_pointwise",
)  # fmt: skip
def transposed_convolution(call: Call) -> Flops:
    """Forward of a transposed convolution."""
    return same(_flops(call.args[0], call.args[1], call.result, transposed=True))


@formula("mkldnn::_convolution_pointwise_")
def added_convolution(call: Call) -> Flops:
    """Forward, added to another tensor in place: (other, input, weight, ..)."""
    return same(_flops(call.args[1], call.args[2], call.result, transposed=False))


@formula("aten::conv_tbc")
def time_first(call: Call) -> Flops:
    """Over [time, batch, channels] with a weight [taps, c_in, c_out]."""
    taps, inputs, _ = call["weight"].shape
    return same(2 * call.result.numel() * taps * inputs)


@formula("aten::conv_tbc_backward")
def time_first_backward(call: Call) -> Flops:
    """Both gradients."""
    taps, inputs, _ = call["weight"].shape
    return same(2 * 2 * call["self"].numel() * taps * inputs)


@formula("aten::convolution_backward", "aten::convolution_backward_overrideable")
def convolution_backward(call: Call) -> Flops:
    """The gradients that `output_mask` asks for, bias aside."""
    gradient, source, weight = call["grad_output"], call["input"], call["weight"]
    wanted = sum(call["output_mask"][:2])
    return same(wanted * _flops(source, weight, gradient, transposed=bool(call["transposed"])))


@formula("aten::_slow_conv2d_backward", "aten::mps_convolution_backward")
def plain_backward(call: Call) -> Flops:
    """The same for one kind of kernel; one overload writes all gradients."""
    wanted = sum(call["output_mask"][:2]) if "output_mask" in call else 2
    return same(wanted * _flops(call["self"], call["weight"], call["grad_output"], transposed=False))


@formula("aten::mps_convolution_transpose_backward")
def transposed_backward(call: Call) -> Flops:
    """The same, transposed."""
    wanted = sum(call["output_mask"])
    return same(wanted * _flops(call["self"], call["weight"], call["grad_output"], transposed=True))


@formula(
    "onednn::qconv1d_pointwise", "onednn::qconv2d_pointwise", "onednn::qconv3d_pointwise", "onednn::qconv_pointwise",
)  # fmt: skip
def quantized_convolution(call: Call) -> Flops:
    """Of int8 input and weight."""
    return same(_flops(call["qx"], call["qw"], call.result, transposed=False))


@formula(
    "quantized::conv1d", "quantized::conv1d_relu", "quantized::conv1d_dynamic", "quantized::conv2d",
    "quantized::conv2d_relu", "quantized::conv2d_dynamic", "quantized::conv2d_add", "quantized::conv2d_add_relu",
    "quantized::conv3d", "quantized::conv3d_relu", "quantized::conv3d_dynamic", "_quantized::conv2d",
    "_quantized::conv2d_relu", "_quantized::conv3d", "_quantized::conv3d_relu",
)  # fmt: skip
def packed_convolution(call: Call) -> Flops:
    """Of a packed weight, which is asked for its shape."""
    weight = call.first("packed_weight", "weight").unpack()[0]
    return same(_flops(call["qx"], weight, call.result, transposed=False))


@formula(
    "quantized::conv_transpose1d", "quantized::conv_transpose2d", "quantized::conv_transpose3d",
    "quantized::conv_transpose1d_dynamic", "quantized::conv_transpose2d_dynamic",
    "quantized::conv_transpose3d_dynamic", "_quantized::conv_transpose1d", "_quantized::conv_transpose2d",
)  # fmt: skip
def packed_transposed(call: Call) -> Flops:
    """The same, transposed."""
    return same(_flops(call["qx"], call["packed_weight"].unpack()[0], call.result, transposed=True))


def _transposed(call: Call) -> bool:
    return "transposed" in call and bool(call["transposed"])


def _weight(call: Call) -> Any:
    # one overload is (input, other, weight, ..)
    return call["W"] if "W" in call else call.args[1]


def _flops(source: Any, weight: Any, out: Any, *, transposed: bool) -> int:
    """`weight` is [c_out, c_in / groups, taps] or, transposed, [c_in, c_out / groups, taps]."""
    moved = source if transposed else out
    # each moved element meets, in its group, every channel of the other side at every tap
    return int(2 * moved.numel() * weight.shape[1] * prod(weight.shape[2:]))
