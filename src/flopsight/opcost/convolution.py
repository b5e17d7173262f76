"""Convolutions: 2·(output elements)·(inputs of each), and as much for each gradient that is asked for.

Transposed ones multiply every input element with the kernel instead. Taps on padding are counted, as the kernels do.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Final

from flopsight.counted import Flops
from flopsight.opcost.call import Call, Tensor, Unclear, dense, total
from flopsight.opcost.places import Steps, places
from flopsight.opcost.value import OpCost

BOTH: Final = "which gradients were asked for is not recorded: both are counted"


def _forward(steps: Steps, *, up: bool = False) -> Callable[[Call], OpCost]:
    """(input, weight, ..): weight [c_out, c_in / groups, taps] or, transposed, [c_in, c_out / groups, taps]."""

    def formula(call: Call) -> OpCost:
        x, weight = call.tensor(0), call.tensor(1)
        upwards = up or _flag(call, steps.transposed)
        spatial = _spatial(x, weight)
        taps = prod(weight.dims[2:])
        positions = places(call, x.dims[-spatial:], weight.dims[2:], steps, up=upwards)
        groups = _groups(call, steps, x.dims[-spatial - 1], weight)
        channels = weight.dims[1] * groups if upwards else weight.dims[0]
        if x.dims[-spatial - 1] != (weight.dims[0] if upwards else weight.dims[1] * groups):
            raise Unclear("channels differ")
        out = dense((*x.dims[: -spatial - 1], channels, *positions), x.dtype)
        flops = 2 * (x.numel if upwards else out.numel) * weight.dims[1] * taps
        return _cost(x, flops, total(call.tensors()), total([out]))

    return formula


def _groups(call: Call, steps: Steps, channels: int, weight: Tensor) -> int:
    """As recorded; an op without the argument has one group, or as many as channels where it is depthwise."""
    if steps.groups is None:
        return channels // max(1, weight.dims[1])
    groups = call.whole(steps.groups)
    if groups is None or groups < 1:
        raise Unclear("groups are not recorded")
    return groups


def _flag(call: Call, at: int | None) -> bool:
    if at is None:
        return False
    found = call.flag(at)
    if found is None:
        raise Unclear("whether it is transposed is not recorded")
    return found


def _spatial(x: Tensor, weight: Tensor) -> int:
    spatial = len(weight.dims) - 2
    if spatial not in (1, 2, 3) or len(x.dims) not in (spatial + 1, spatial + 2):
        raise Unclear("no convolution")
    return spatial


def _cost(x: Tensor, flops: int, reads: int, writes: int, note: str = "") -> OpCost:
    return OpCost("convolution", "matrix", x.dtype, Flops(flops, flops, flops), 0, reads, writes, None, note)


def _backward(transposed: int, mask: int, bias: int | None) -> Callable[[Call], OpCost]:
    """(gradient, input, weight, ..): places of the flag, of the gradients asked for, and of the bias's sizes."""

    def formula(call: Call) -> OpCost:
        gradient, x, weight = call.tensor(0), call.tensor(1), call.tensor(2)
        _spatial(x, weight)
        if len(gradient.dims) != len(x.dims):
            raise Unclear("no convolution")
        moved = x if _flag(call, transposed) else gradient
        one = 2 * moved.numel * weight.dims[1] * prod(weight.dims[2:])
        wanted = call.flags(mask)
        to_x, to_weight, to_bias = wanted if len(wanted) == 3 else (True, True, False)
        read = [gradient, *([weight] if to_x else []), *([x] if to_weight else [])]
        made = [x.dims] * to_x + [weight.dims] * to_weight
        if to_bias and bias is not None:
            made.append(tuple(call.wholes(bias)))
        written = [dense(dims, x.dtype) for dims in made]
        note = "" if len(wanted) == 3 else BOTH
        return _cost(x, one * (to_x + to_weight), total(read), total(written), note)

    return formula


_GENERAL: Final = _forward(Steps(3, 4, 5, output_padding=7, groups=8, transposed=6))
_PLAIN: Final = _forward(Steps(3, 4, 5, groups=6))
_UP: Final = _forward(Steps(3, 4, 7, output_padding=5, groups=6), up=True)
_LIBRARY: Final = _forward(Steps(4, 3, 5, groups=6))
_DILATED: Final = _forward(Steps(4, 5, 6))
_SLOW: Final = _forward(Steps(4, 5))
TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    "aten::convolution": _GENERAL, "aten::_convolution": _GENERAL, "aten::convolution_overrideable": _GENERAL,
    "aten::conv1d": _PLAIN, "aten::conv2d": _PLAIN, "aten::conv3d": _PLAIN, "aten::conv_transpose1d": _UP,
    "aten::conv_transpose2d": _UP, "aten::conv_transpose3d": _UP,
    "aten::cudnn_convolution": _forward(Steps(3, 2, 4, groups=5)),
    "aten::cudnn_convolution_transpose": _forward(Steps(4, 2, 5, output_padding=3, groups=6), up=True),
    "aten::cudnn_convolution_relu": _PLAIN,
    "aten::cudnn_convolution_add_relu": _forward(Steps(5, 6, 7, groups=8)),
    "aten::miopen_convolution": _LIBRARY, "aten::miopen_depthwise_convolution": _LIBRARY,
    "aten::miopen_convolution_transpose": _forward(Steps(5, 3, 6, output_padding=4, groups=7), up=True),
    "aten::miopen_convolution_relu": _PLAIN, "aten::miopen_convolution_add_relu": _forward(Steps(5, 6, 7, groups=8)),
    "aten::mkldnn_convolution": _LIBRARY, "aten::thnn_conv2d": _SLOW, "aten::_slow_conv2d_forward": _SLOW,
    "aten::slow_conv3d": _SLOW, "aten::slow_conv3d_forward": _SLOW, "aten::slow_conv_dilated2d": _DILATED,
    "aten::slow_conv_dilated3d": _DILATED,
    "aten::slow_conv_transpose2d": _forward(Steps(4, 5, 7, output_padding=6), up=True),
    "aten::slow_conv_transpose3d": _forward(Steps(4, 5, 7, output_padding=6), up=True),
    "aten::_conv_depthwise2d": _DILATED, "aten::conv_depthwise3d": _DILATED,
    "aten::convolution_backward": _backward(7, 10, 3), "aten::convolution_backward_overrideable": _backward(6, 9, None),
}  # fmt: skip
