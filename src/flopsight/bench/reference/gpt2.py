"""GPT-2: learned positions, LayerNorm, one matrix for query, key and value, matrices stored input first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flopsight.bench.reference.cache import Cache
from flopsight.bench.reference.pieces import Core, Gate
from flopsight.bench.reference.shape import Shape


class Conv1D(nn.Module):
    """x W + b with W stored [inputs, outputs]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * 0.02)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, inputs]."""
        return torch.addmm(self.bias, x.flatten(0, 1), self.weight).unflatten(0, x.shape[:2])


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, s: Shape, layer: int) -> None:
        super().__init__()
        self.layer, self.heads = layer, s.heads
        self.c_attn, self.c_proj = Conv1D(s.width, 3 * s.width), Conv1D(s.width, s.width)
        self.core = Core()

    def forward(self, x: Tensor, cache: Cache | None) -> Tensor:
        """[batch, tokens, width]."""
        query, key, value = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.c_attn(x).chunk(3, -1))
        if cache is not None:
            key, value = cache.put(self.layer, key, value)
        found: Tensor = self.c_proj(self.core(query, key, value))
        return found


class Mlp(nn.Module):
    """down(act(up(x)))."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.c_fc, self.c_proj = Conv1D(s.width, s.inner), Conv1D(s.inner, s.width)
        self.act = Gate(s.activation)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, width]."""
        found: Tensor = self.c_proj(self.act(self.c_fc(x)))
        return found


class Layer(nn.Module):
    """norm, attention, add, norm, feed-forward, add."""

    def __init__(self, s: Shape, layer: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(s.width, s.epsilon) for _ in range(2))
        self.attn, self.mlp = Attention(s, layer), Mlp(s)

    def forward(self, x: Tensor, cache: Cache | None) -> Tensor:
        """[batch, tokens, width]."""
        x = x + self.attn(self.ln_1(x), cache)
        found: Tensor = x + self.mlp(self.ln_2(x))
        return found


class Body(nn.Module):
    """Embedding of tokens and of positions, layers, final norm."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(s.vocabulary, s.width), nn.Embedding(s.positions, s.width)
        self.h = nn.ModuleList(Layer(s, index) for index in range(s.layers))
        self.ln_f = nn.LayerNorm(s.width, s.epsilon)

    def forward(self, ids: Tensor, cache: Cache | None) -> Tensor:
        """[batch, tokens] to [batch, tokens, width]."""
        start = cache.length if cache is not None else 0
        x = self.wte(ids) + self.wpe(torch.arange(start, start + ids.shape[1], device=ids.device))
        for layer in self.h:
            x = layer(x, cache)
        if cache is not None:
            cache.length += ids.shape[1]
        found: Tensor = self.ln_f(x)
        return found


class Gpt2(nn.Module):
    """The body and the head; a tied head is the embedding."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.transformer = Body(s)
        self.lm_head = nn.Linear(s.width, s.vocabulary, bias=False)
        if s.tied:
            self.lm_head.weight = self.transformer.wte.weight

    def forward(self, ids: Tensor, cache: Cache | None = None, keep: int = 0) -> Tensor:
        """Logits of the last `keep` positions, of all if 0."""
        found: Tensor = self.lm_head(self.transformer(ids, cache)[:, -keep:])
        return found
