"""What the decoders are made of: norms, rotary positions, the attention core, activations, feed-forward blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
}


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + epsilon) · weight, in fp32 inside."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

    def forward(self, x: Tensor) -> Tensor:
        """[..., width]."""
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return self.weight * (wide * scale).to(x.dtype)


class Rope(nn.Module):
    """Rotary positions, the two halves of a head as one pair of coordinates."""

    def __init__(self, width: int, theta: float) -> None:
        super().__init__()
        self.width, self.theta = width, theta

    def angles(self, start: int, tokens: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine [tokens, width] of positions from `start`."""
        exponents = torch.arange(0, self.width, 2, device=like.device, dtype=torch.float32) / self.width
        positions = torch.arange(start, start + tokens, device=like.device, dtype=torch.float32)
        angles = torch.outer(positions, self.theta**-exponents).repeat(1, 2)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)

    def forward(self, query: Tensor, key: Tensor, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """[batch, heads, tokens, width] each."""
        return _turned(query, angles), _turned(key, angles)


def _turned(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * angles[0] + torch.cat((-second, first), -1) * angles[1]


class Core(nn.Module):
    """Scores, softmax and mix; every query sees the keys before it, of them at most `window`."""

    def __init__(self, window: int = 0) -> None:
        super().__init__()
        self.window = window

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[batch, heads, queries, width] and [batch, kv heads, keys, width] to [batch, queries, heads · width]."""
        queries, keys = query.shape[2], key.shape[2]
        windowed = bool(self.window) and keys > self.window
        mask = self._mask(queries, keys, query.device) if windowed or 1 < queries < keys else None
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None and queries > 1,
            enable_gqa=query.shape[1] != key.shape[1],
        )  # fmt: skip
        return mixed.transpose(1, 2).flatten(2)

    def _mask(self, queries: int, keys: int, device: torch.device) -> Tensor:
        behind = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
        seen = behind >= 0
        return seen & (behind < self.window) if self.window else seen


class Gate(nn.Module):
    """act(gate) · up, or act(gate) alone."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.function = ACTIVATIONS[activation]

    def forward(self, gate: Tensor, up: Tensor | None = None) -> Tensor:
        """[..., inner]."""
        active = self.function(gate)
        return active if up is None else active * up


class GatedMlp(nn.Module):
    """down(act(gate(x)) · up(x))."""

    def __init__(self, width: int, inner: int, activation: str, *, bias: bool) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = (nn.Linear(width, inner, bias=bias) for _ in range(2))
        self.act = Gate(activation)
        self.down_proj = nn.Linear(inner, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width]."""
        found: Tensor = self.down_proj(self.act(self.gate_proj(x), self.up_proj(x)))
        return found


class Router(nn.Linear):
    """Scores of the experts, and the best `visited` of them with weights that add up to one."""

    def __init__(self, width: int, experts: int, visited: int) -> None:
        super().__init__(width, experts, bias=False)
        self.visited = visited

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[tokens, width] to weights and indices [tokens, visited]."""
        shares = super().forward(x).float().softmax(-1)
        weights, chosen = shares.topk(self.visited, -1)
        return (weights / weights.sum(-1, keepdim=True)).to(x.dtype), chosen


class Experts(nn.Module):
    """Gated blocks, one after the other, each on the tokens that visit it."""

    def __init__(self, experts: int, width: int, inner: int, activation: str) -> None:
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.randn(experts, 2 * inner, width) * 0.02)
        self.down_proj = nn.Parameter(torch.randn(experts, width, inner) * 0.02)
        self.function = ACTIVATIONS[activation]

    def forward(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """[tokens, width]."""
        out = torch.zeros_like(x)
        for expert in chosen.unique().tolist():
            token, rank = torch.where(chosen == expert)
            gate, up = functional.linear(x[token], self.gate_up_proj[expert]).chunk(2, -1)
            made = functional.linear(self.function(gate) * up, self.down_proj[expert])
            out = out.index_add(0, token, made * weights[token, rank, None])
        return out


class RoutedMlp(nn.Module):
    """A router and its experts."""

    def __init__(self, width: int, inner: int, experts: int, visited: int, activation: str) -> None:
        super().__init__()
        self.gate = Router(width, experts, visited)
        self.experts = Experts(experts, width, inner, activation)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, width]."""
        flat = x.flatten(0, 1)
        found: Tensor = self.experts(flat, *self.gate(flat)).view_as(x)
        return found
