"""Llama and its nearest: RMSNorm, rotary positions, grouped-query attention, a gated or a routed feed-forward block."""

from __future__ import annotations

from torch import Tensor, nn

from flopsight.bench.reference.cache import Cache
from flopsight.bench.reference.pieces import Core, GatedMlp, RMSNorm, Rope, RoutedMlp
from flopsight.bench.reference.shape import Shape


class Attention(nn.Module):
    """Projections, norms of query and key where there are any, rotary positions, core, output."""

    def __init__(self, s: Shape, layer: int) -> None:
        super().__init__()
        self.layer, self.heads = layer, (s.heads, s.kv_heads, s.kv_heads)
        self.q_proj = nn.Linear(s.width, s.heads * s.head_width, bias=s.qkv_bias)
        self.k_proj, self.v_proj = (
            nn.Linear(s.width, s.kv_heads * s.head_width, bias=s.qkv_bias) for _ in range(2)
        )  # fmt: skip
        self.q_norm, self.k_norm = (
            RMSNorm(s.head_width, s.epsilon) if s.qk_norm else nn.Identity() for _ in range(2)
        )  # fmt: skip
        self.rope, self.core = Rope(s.head_width, s.theta), Core(s.window)
        self.o_proj = nn.Linear(s.heads * s.head_width, s.width, bias=s.out_bias)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], cache: Cache | None) -> Tensor:
        """[batch, tokens, width]."""
        made = (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        query, key, value = (
            y.unflatten(-1, (heads, -1)).transpose(1, 2) for y, heads in zip(made, self.heads, strict=True)
        )  # fmt: skip
        query, key = self.rope(self.q_norm(query), self.k_norm(key), angles)
        if cache is not None:
            key, value = cache.put(self.layer, key, value)
        found: Tensor = self.o_proj(self.core(query, key, value))
        return found


class Layer(nn.Module):
    """norm, attention, add, norm, feed-forward, add."""

    def __init__(self, s: Shape, layer: int) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = (RMSNorm(s.width, s.epsilon) for _ in range(2))
        self.self_attn = Attention(s, layer)
        self.mlp: nn.Module = (
            RoutedMlp(s.width, s.inner, s.experts, s.visited, s.activation)
            if s.experts
            else GatedMlp(s.width, s.inner, s.activation, bias=s.mlp_bias)
        )

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], cache: Cache | None) -> Tensor:
        """[batch, tokens, width]."""
        x = x + self.self_attn(self.input_layernorm(x), angles, cache)
        found: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return found


class Body(nn.Module):
    """Embedding, layers, final norm."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(s.vocabulary, s.width)
        self.layers = nn.ModuleList(Layer(s, index) for index in range(s.layers))
        self.norm = RMSNorm(s.width, s.epsilon)
        self.rope = Rope(s.head_width, s.theta)

    def forward(self, ids: Tensor, cache: Cache | None) -> Tensor:
        """[batch, tokens] to [batch, tokens, width]."""
        x = self.embed_tokens(ids)
        start = cache.length if cache is not None else 0
        angles = self.rope.angles(start, ids.shape[1], x)
        for layer in self.layers:
            x = layer(x, angles, cache)
        if cache is not None:
            cache.length += ids.shape[1]
        found: Tensor = self.norm(x)
        return found


class Llama(nn.Module):
    """The body and the head; a tied head is the embedding."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.model = Body(s)
        self.lm_head = nn.Linear(s.width, s.vocabulary, bias=False)
        if s.tied:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, ids: Tensor, cache: Cache | None = None, keep: int = 0) -> Tensor:
        """Logits of the last `keep` positions, of all if 0."""
        found: Tensor = self.lm_head(self.model(ids, cache)[:, -keep:])
        return found
