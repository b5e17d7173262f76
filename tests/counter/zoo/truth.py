"""The arithmetic of the truths: products and attentions as closed forms, forward and training, required and full.

Letters: B sequences of S positions, T = B·S tokens. Everything is written from a config's numbers; nothing here looks
at a model, a trace or flopsight. A multiply-add is two FLOPs, a bias none.

Training is the forward pass and, of every product Y = X·W, the gradients that exist: dX = dY·Wᵀ and dW = Xᵀ·dY,
each as large as the product itself. `gradients` says how many of the two are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

B, S = 2, 128
T = B * S


@dataclass(frozen=True)
class Truth:
    """Matrix FLOPs of one pass forward and of one training step, both without recompute.

    full      attention over the whole score square
    required  attention over the pairs that its mask lets through
    """

    full: int = 0
    required: int = 0
    train_full: int = 0
    train_required: int = 0

    def __add__(self, other: Truth) -> Truth:
        return Truth(
            self.full + other.full, self.required + other.required, self.train_full + other.train_full,
            self.train_required + other.train_required,
        )  # fmt: skip

    def __rmul__(self, times: int) -> Truth:
        return Truth(*(times * v for v in (self.full, self.required, self.train_full, self.train_required)))


def product(rows: int, inner: int, columns: int, *, gradients: int = 2) -> Truth:
    """[rows, inner] times [inner, columns]."""
    one = 2 * rows * inner * columns
    return Truth(one, one, one + gradients * one, one + gradients * one)


def attention(
    heads: int, width: int, *, square: int, allowed: int, value_width: int | None = None, gradients: int = 4
) -> Truth:
    """Scores (2·pairs·width a head) and mix (2·pairs·value width), pairs summed over the batch.

    gradients  of the four products dQ, dK, dP, dV, how many are asked for; fewer than four only where both widths
               are the same
    """
    value = width if value_width is None else value_width
    assert gradients == 4 or value == width
    pair = 2 * heads * (width + value)
    return Truth(pair * square, pair * allowed, *(pair * n + pair * n * gradients // 2 for n in (square, allowed)))


def causal(length: int) -> int:
    """Pairs of a causal mask: query i sees keys 0..i."""
    return length * (length + 1) // 2


def window(length: int, size: int) -> int:
    """Pairs of a causal mask in which a query sees itself and the size - 1 keys before it."""
    return sum(min(i + 1, size) for i in range(length))


def causal_attention(heads: int, width: int, *, value_width: int | None = None, size: int | None = None) -> Truth:
    """Attention of the zoo's B sequences of S tokens, causal, in a window where `size` is given."""
    allowed = causal(S) if size is None else window(S, size)
    return attention(heads, width, square=B * S * S, allowed=B * allowed, value_width=value_width)


def full_attention(heads: int, width: int, queries: int, keys: int) -> Truth:
    """Attention without a mask, B sequences."""
    return attention(heads, width, square=B * queries * keys, allowed=B * queries * keys)


def gated_mlp(width: int, inner: int, *, rows: int = T) -> Truth:
    """Gate, up and down."""
    return 3 * product(rows, width, inner)


def mlp(width: int, inner: int, *, rows: int = T) -> Truth:
    """Up and down."""
    return 2 * product(rows, width, inner)


def grouped_query(width: int, heads: int, kv_heads: int, head: int) -> Truth:
    """The projections of queries, keys, values and output."""
    return 2 * product(T, width, heads * head) + 2 * product(T, width, kv_heads * head)


def experts(width: int, inner: int, count: int, active: int) -> Truth:
    """A router over `count` experts, and `active` gated experts a token: exactly T·active rows, however they fall."""
    return product(T, width, count) + gated_mlp(width, inner, rows=T * active)


def short_conv(channels: int, taps: int) -> Truth:
    """A causal depthwise convolution over S positions."""
    return product(T * channels, taps, 1)
