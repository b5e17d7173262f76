"""Plain PyTorch modules: a CNN, one attention block, a compiled part, an encoder, an LSTM."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .specimen import Specimen, noise, tokens
from .truth import B, S, T, Truth, attention, causal, full_attention, mlp, product

SIDE, CHANNELS, GROUPS, CLASSES = 32, (3, 32, 64, 64), 4, 10


def conv(channels: int, out: int, side: int, taps: int, groups: int = 1, gradients: int = 2) -> Truth:
    """Every output position meets every tap and channel of its group; padded taps count."""
    return product(B * side * side * out, channels // groups * taps, 1, gradients=gradients)


def _cnn() -> nn.Module:
    a, b, c, d = CHANNELS
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, c, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(c, d, 3, padding=1, groups=GROUPS), nn.ReLU(), nn.Conv2d(d, d, 1), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(d, CLASSES),
    )  # fmt: skip


HALF = SIDE // 2
CNN = (
    conv(CHANNELS[0], CHANNELS[1], SIDE, 9, gradients=1)  # pixels need no gradient
    + conv(CHANNELS[1], CHANNELS[2], HALF, 9)
    + conv(CHANNELS[2], CHANNELS[3], HALF, 9, groups=GROUPS)
    + conv(CHANNELS[3], CHANNELS[3], HALF, 1)
    + product(B, CHANNELS[3], CLASSES)
)

LONG, WIDE, HEADS = 512, 256, 4


class Block(nn.Module):
    """Causal self-attention, and nothing else; at this size as much in scores as in weights."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


BLOCK = (
    product(B * LONG, WIDE, 3 * WIDE, gradients=1)  # its input needs no gradient
    + attention(HEADS, WIDE // HEADS, square=B * LONG * LONG, allowed=B * causal(LONG))
    + product(B * LONG, WIDE, WIDE)
)

WIDTH, INNER, VOCAB = 64, 192, 100


class Nested(nn.Module):
    """A model of which one part is compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.block = Block(WIDTH, HEADS)
        self.mlp = torch.compile(
            nn.Sequential(nn.Linear(WIDTH, INNER), nn.GELU(), nn.Linear(INNER, WIDTH)), backend="aot_eager"
        )
        self.head = nn.Linear(WIDTH, VOCAB)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        x = x + self.block(x)
        return self.head(x + self.mlp(x))


NESTED = (
    product(T, WIDTH, 3 * WIDTH)
    + attention(HEADS, WIDTH // HEADS, square=B * S * S, allowed=B * causal(S))
    + product(T, WIDTH, WIDTH)
    + mlp(WIDTH, INNER)
    + product(T, WIDTH, VOCAB)
)

ENCODER_LAYERS = 3


def _encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, ENCODER_LAYERS, enable_nested_tensor=False)


def _encoder_layer(gradients: int) -> Truth:
    return (
        product(T, WIDTH, 3 * WIDTH, gradients=gradients)
        + full_attention(HEADS, WIDTH // HEADS, S, S)
        + product(T, WIDTH, WIDTH)
        + mlp(WIDTH, INNER)
    )


ENCODER = _encoder_layer(1) + (ENCODER_LAYERS - 1) * _encoder_layer(2)  # its input needs no gradient

CELLS, CELL_LAYERS = 96, 2


class Recurrent(nn.Module):
    """A language model around nn.LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.lstm = nn.LSTM(WIDTH, CELLS, CELL_LAYERS, batch_first=True)
        self.head = nn.Linear(CELLS, VOCAB)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(self.embed(ids))[0])


# four gates, each of the input and of the state before
LSTM = (
    product(T, WIDTH, 4 * CELLS)
    + product(T, CELLS, 4 * CELLS)
    + (CELL_LAYERS - 1) * 2 * product(T, CELLS, 4 * CELLS)
    + product(T, CELLS, VOCAB)
)

SPECIMENS = (
    Specimen(
        "CNN with a grouped conv", _cnn, noise(B, CHANNELS[0], SIDE, SIDE), CNN, executed=(CNN.full, CNN.train_full)
    ),
    Specimen("one SDPA block, S=512", lambda: Block(WIDE, HEADS), noise(B, LONG, WIDE), BLOCK),
    Specimen("nested torch.compile", Nested, tokens(VOCAB, B, S), NESTED),
    Specimen("nn.TransformerEncoder", _encoder, noise(B, S, WIDTH), ENCODER),
    Specimen("nn.LSTM", Recurrent, tokens(VOCAB, B, S), LSTM),
)
