"""Llama trained in other ways: with low-rank adapters on frozen weights, and with activation checkpointing."""

from __future__ import annotations

import torch
from torch import nn

from .dense import HEAD, HEADS, INNER, KV, LAYERS, LLAMA, VOCAB, WIDTH, llama_config, llama_layer
from .specimen import Specimen, causal_lm, tokens
from .truth import B, S, T, Truth, attention, causal, product

RANK = 8


class LowRank(nn.Module):
    """A frozen linear layer and a trained product of rank r beside it."""

    def __init__(self, frozen: nn.Linear, rank: int) -> None:
        super().__init__()
        self.frozen = frozen
        self.down = nn.Linear(frozen.in_features, rank, bias=False)
        self.up = nn.Linear(rank, frozen.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.frozen(x) + self.up(self.down(x))


def _lora() -> nn.Module:
    whole = causal_lm(llama_config(), "eager").requires_grad_(False)
    for layer in whole.model.model.layers:
        for name in ("q_proj", "v_proj"):
            setattr(layer.self_attn, name, LowRank(getattr(layer.self_attn, name), RANK))
    return whole


def adapter(outputs: int, *, first: bool) -> Truth:
    """A frozen projection and its adapter. Frozen weights ask for no dW, the embeddings under the first layer for no
    dX.
    """
    return (
        product(T, WIDTH, outputs, gradients=0 if first else 1)
        + product(T, WIDTH, RANK, gradients=1 if first else 2)
        + product(T, RANK, outputs)
    )


def lora_layer(*, first: bool) -> Truth:
    """The first layer's keys depend on nothing that is trained: no dK."""
    core = attention(HEADS, HEAD, square=B * S * S, allowed=B * causal(S), gradients=3 if first else 4)
    keys = product(T, WIDTH, KV * HEAD, gradients=0 if first else 1)
    out = product(T, HEADS * HEAD, WIDTH, gradients=1)
    inner = 3 * product(T, WIDTH, INNER, gradients=1)
    return adapter(HEADS * HEAD, first=first) + keys + adapter(KV * HEAD, first=first) + core + out + inner


LORA = lora_layer(first=True) + (LAYERS - 1) * lora_layer(first=False) + product(T, WIDTH, VOCAB, gradients=1)


def _checkpointed() -> nn.Module:
    whole = causal_lm(llama_config(), "eager")
    whole.model.activation_checkpointing_enable({"use_reentrant": False})
    return whole


# every layer runs its forward pass twice, but for the last product, of which nothing is kept (torch stops early)
AGAIN = LAYERS * (llama_layer().full - product(T, INNER, WIDTH).full)

SPECIMENS = (
    Specimen(
        "Llama, LoRA r=8 on q and v, eager", _lora, tokens(VOCAB, B, S), LORA, executed=(LORA.full, LORA.train_full)
    ),
    Specimen(
        "Llama, activation checkpointing, eager", _checkpointed, tokens(VOCAB, B, S), LLAMA,
        executed=(LLAMA.full, LLAMA.train_full + AGAIN),
    ),
)  # fmt: skip
