"""Convolutions: 2·(output elements)·(inputs of each), and as much for each gradient that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Final

from flopsight.counted import Flops
from flopsight.opcost.call import Call, Unclear, total
from flopsight.opcost.dtypes import BYTES
from flopsight.opcost.value import OpCost


def _lists(call: Call, at: int, count: int, usual: int) -> list[int]:
    found = call.wholes(at)
    if len(found) == 1:
        return found * count
    return found if len(found) == count else [usual] * count


def _forward(stride: int, padding: int, dilation: int, transposed: int | None, groups: int) -> Callable[[Call], OpCost]:
    def formula(call: Call) -> OpCost:
        x, weight = call.tensor(0), call.tensor(1)
        spatial = len(weight.dims) - 2
        if spatial < 1 or len(x.dims) < spatial + 1:
            raise Unclear("no convolution")
        backwards = transposed is not None and bool(call.flag(transposed))
        batch = x.dims[0] if len(x.dims) == spatial + 2 else 1
        sizes, kernel = x.dims[-spatial:], weight.dims[2:]
        split = call.whole(groups) or 1
        if backwards:
            # every input element meets the whole kernel of each output channel
            flops = 2 * batch * weight.dims[0] * prod(sizes) * weight.dims[1] * prod(kernel)
            out = batch * weight.dims[1] * split * prod(sizes)
        else:
            places = _places(call, sizes, kernel, stride, padding, dilation)
            flops = 2 * batch * prod(places) * weight.dims[0] * weight.dims[1] * prod(kernel)
            out = batch * weight.dims[0] * prod(places)
        size = BYTES.get(x.dtype)
        return OpCost("convolution", "matrix", x.dtype, Flops(flops, flops, flops), 0, total([x, weight]),
                      -1 if size is None else out * size)  # fmt: skip

    return formula


def _places(
    call: Call, sizes: tuple[int, ...], kernel: tuple[int, ...], stride: int, padding: int, dilation: int
) -> list[int]:  # fmt: skip
    """Positions of the output along each dimension."""
    count = len(sizes)
    steps, pads, gaps = (_lists(call, at, count, usual) for at, usual in ((stride, 1), (padding, 0), (dilation, 1)))
    if not call.wholes(stride) and call.signature.values == ():
        raise Unclear("strides are not recorded")
    places = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1 if s > 0 else 0
        for n, k, s, p, d in zip(sizes, kernel, steps, pads, gaps, strict=True)
    ]
    if any(p < 1 for p in places):
        raise Unclear("a kernel larger than its input")
    return places


def _backward(call: Call) -> OpCost:
    """convolution_backward(grad, input, weight, bias_sizes, stride, padding, dilation, transposed, output_padding,
    groups, output_mask)."""
    grad, x, weight = call.tensor(0), call.tensor(1), call.tensor(2)
    spatial = len(weight.dims) - 2
    if spatial < 1 or len(grad.dims) < spatial + 2:
        raise Unclear("no convolution")
    pixels = prod(x.dims[-spatial:]) if call.flag(7) else prod(grad.dims[-spatial:])
    one = 2 * grad.dims[0] * pixels * prod(weight.dims)
    wanted = [part.strip() == "True" for part in call.value(10).strip("[]").split(",")] if call.value(10) else []
    times = sum(wanted[:2]) if len(wanted) == 3 else 2
    flops = one * times
    note = "" if len(wanted) == 3 else "which gradients were asked for is not recorded: both are counted"
    return OpCost("convolution", "matrix", x.dtype, Flops(flops, flops, flops), 0, total([grad, x, weight]),
                  total([x, weight]), None, note)  # fmt: skip


# (input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
_GENERAL: Final = _forward(3, 4, 5, 6, 8)
# (input, weight, bias, stride, padding, dilation, groups)
_PLAIN: Final = _forward(3, 4, 5, None, 6)
# (self, weight, padding, stride, dilation, groups, ...)
_CUDNN: Final = _forward(3, 2, 4, None, 5)
# (self, weight, bias, padding, stride, dilation, groups)
_MKLDNN: Final = _forward(4, 3, 5, None, 6)
TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    "aten::convolution": _GENERAL, "aten::_convolution": _GENERAL, "aten::convolution_overrideable": _GENERAL,
    "aten::conv1d": _PLAIN, "aten::conv2d": _PLAIN, "aten::conv3d": _PLAIN, "aten::cudnn_convolution": _CUDNN,
    "aten::miopen_convolution": _MKLDNN, "aten::miopen_depthwise_convolution": _MKLDNN,
    "aten::mkldnn_convolution": _MKLDNN, "aten::convolution_backward": _backward,
}  # fmt: skip
