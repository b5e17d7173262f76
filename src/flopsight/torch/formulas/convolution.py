"""Convolutions: every output position times every tap and input channel of its group; padded taps are counted.

    2 · batch · positions · c_out · (c_in / groups) · taps

Backward: the gradient of the input and that of the weight are each one such product, whatever the groups.
"""

from __future__ import annotations

from math import prod

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.registry import formula, same


@formula(
    "aten::convolution", "aten::_convolution", "aten::cudnn_convolution", "aten::_slow_conv2d_forward",
    "aten::convolution_overrideable", "aten::mkldnn_convolution", "aten::_conv_depthwise2d", "aten::conv_depthwise3d",
)  # fmt: skip
def convolution(call: Call) -> Flops:
    """Forward; transposed convolutions multiply every input position instead."""
    transposed = bool(call["transposed"]) if "transposed" in call else False
    return same(_flops(call.args[0], call.args[1], call.result, transposed=transposed))


@formula("aten::convolution_backward", "aten::convolution_backward_overrideable")
def convolution_backward(call: Call) -> Flops:
    """The gradients that `output_mask` asks for, bias aside."""
    gradient, source, weight = call["grad_output"], call["input"], call["weight"]
    wanted = sum(call["output_mask"][:2])
    return same(wanted * _flops(source, weight, gradient, transposed=bool(call["transposed"])))


def _flops(source: object, weight: object, out: object, *, transposed: bool) -> int:
    """`weight` is [c_out, c_in / groups, taps] or, transposed, [c_in, c_out / groups, taps]."""
    shape = weight.shape  # type: ignore[attr-defined]
    moved = source if transposed else out
    # each moved element meets, in its group, every channel of the other side at every tap
    return int(2 * moved.numel() * shape[1] * prod(shape[2:]))  # type: ignore[attr-defined]
