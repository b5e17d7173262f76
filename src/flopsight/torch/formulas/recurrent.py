"""Recurrent layers in one kernel: every step multiplies its input and its state by the weights of all gates.

    LSTM    2·steps·batch·4·hidden·(input + hidden)      GRU 3, plain 1 instead of 4

A projection (LSTM with proj_size) is one more matrix a step. Backward: the gradients of inputs and states are one
such product, those of the weights another.
"""

from __future__ import annotations

from typing import Any, Final

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.registry import Uncountable, formula, same

GATES: Final = {0: 1, 1: 1, 2: 4, 3: 3}
"""By torch's number of a kind: plain with relu or tanh, LSTM, GRU."""


@formula("aten::mkldnn_rnn_layer")
def one_layer(call: Call) -> Flops:
    """One layer in one direction: input [steps, batch, width]."""
    return same(_layer(call))


@formula("aten::mkldnn_rnn_layer_backward")
def one_layer_backward(call: Call) -> Flops:
    """Both gradients; the kernel computes the input's whether or not it is wanted."""
    return same(2 * _layer(call))


def _layer(call: Call) -> int:
    source, hidden = call["input"], call["hidden_size"]
    steps = source.numel() // source.shape[-1]
    return int(2 * steps * GATES[call["mode"]] * hidden * (source.shape[-1] + hidden))


@formula("aten::_cudnn_rnn", "aten::miopen_rnn")
def layers(call: Call) -> Flops:
    """All layers and directions; input [.., width], in packed sequences [tokens, width]."""
    return same(2 * _tokens(call) * sum(_sizes(call)))


@formula("aten::_cudnn_rnn_backward", "aten::miopen_rnn_backward")
def layers_backward(call: Call) -> Flops:
    """Gradients of states always, of the weights and of the first layer's input where they are wanted."""
    sizes, stride = _sizes(call), 2 if call["bidirectional"] else 1
    wanted = sum(sizes) * (1 + call["output_mask"][3])
    if not call["output_mask"][0]:
        per_direction = len(sizes) // (call["num_layers"] * stride)
        wanted -= sum(sizes[direction * per_direction] for direction in range(stride))
    return same(2 * _tokens(call) * wanted)


def _tokens(call: Call) -> int:
    return int(call["input"].numel() // call["input"].shape[-1])


def _sizes(call: Call) -> list[int]:
    """Elements of the weight matrices in order: input, state (and projection) of each layer and direction."""
    return [weight.numel() for weight in call["weight"] if weight.dim() > 1]


@formula(
    "aten::_lstm_mps", "aten::lstm_mps_backward", "aten::quantized_lstm", "aten::quantized_gru",
    "quantized::quantized_lstm_cell_dynamic", "quantized::quantized_gru_cell_dynamic",
    "quantized::quantized_rnn_relu_cell_dynamic", "quantized::quantized_rnn_tanh_cell_dynamic",
)  # fmt: skip
def unread(call: Call) -> Any:
    """Kernels whose packed weights are not read."""
    return Uncountable("the shapes of its packed weights are not read")
