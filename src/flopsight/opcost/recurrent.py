"""Recurrent layers in one kernel: every step multiplies its input and its state by the weights of all gates.

    2 · steps · batch · (elements of the weight matrices); the two gradients as much each

Steps that padding of packed sequences leaves out are not executed either: their input is [tokens, width].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flopsight.counted import Flops
from flopsight.opcost.call import Call, Tensor, Unclear, total
from flopsight.opcost.value import OpCost


def _tokens(x: Tensor) -> int:
    if len(x.dims) not in (2, 3) or not x.dims[-1]:
        raise Unclear("no sequence")
    return x.numel // x.dims[-1]


def _layer(times: int) -> Callable[[Call], OpCost]:
    """(input, weights of the input, weights of the state, ..)"""

    def formula(call: Call) -> OpCost:
        x, first, second = call.tensor(0), call.tensor(1), call.tensor(2)
        if len(first.dims) != 2 or len(second.dims) != 2 or first.dims[1:] != x.dims[-1:]:
            raise Unclear("no plain weights")
        return _cost(x, 2 * times * _tokens(x) * (first.numel + second.numel), total([x, first, second]))

    return formula


def _layers(call: Call) -> OpCost:
    """(input, weights[], ..): all layers and directions."""
    x = call.tensor(0)
    return _cost(x, 2 * _tokens(x) * sum(_matrices(call)), -1)


def _layers_backward(call: Call) -> OpCost:
    """Gradients of states always, of the weights and of the first layer's input where they are wanted."""
    x, sizes, wanted = call.tensor(0), _matrices(call), call.flags(21)
    layers, both = call.whole(13), call.flag(17)
    return _cost(x, 2 * _tokens(x) * _gradients(sizes, wanted, layers, both), -1)


def _gradients(sizes: list[int], wanted: list[bool], layers: int | None, both: bool | None) -> int:
    if len(wanted) != 4 or not layers or both is None:
        raise Unclear("which gradients were asked for is not recorded")
    count = sum(sizes) * (1 + wanted[3])
    if not wanted[0]:
        directions = 2 if both else 1
        each = len(sizes) // (layers * directions)
        count -= sum(sizes[at * each] for at in range(directions))
    return count


def _matrices(call: Call) -> list[int]:
    """Elements of the weight matrices in order: input, state (and projection) of each layer and direction."""
    found = [one.numel for one in call.listed(1) if len(one.dims) > 1]
    if not found:
        raise Unclear("no weights")
    return found


def _cost(x: Tensor, flops: int, reads: int) -> OpCost:
    return OpCost("gemm", "matrix", x.dtype, Flops(flops, flops, flops), 0, reads, -1)


TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    "aten::mkldnn_rnn_layer": _layer(1), "aten::mkldnn_rnn_layer_backward": _layer(2), "aten::_cudnn_rnn": _layers,
    "aten::miopen_rnn": _layers, "aten::_cudnn_rnn_backward": _layers_backward,
}  # fmt: skip
