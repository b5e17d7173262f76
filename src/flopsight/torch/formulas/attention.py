"""Fused attention: scores 2·pairs·h·e and mix 2·pairs·h·v, over the query-key pairs that the mask lets through.

required     forward over the allowed pairs; backward twice that
full_square  the same over all queries times all keys
executed     a causal kernel skips what the flag excludes, a mask tensor it multiplies through; the backward
             rebuilds the scores: 2.5 times the forward (Dao 2023, arXiv 2307.08691)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.registry import formula


@dataclass(frozen=True, slots=True)
class Core:
    """One attention of h heads: key width e, value width v, pairs summed over the batch (one head).

    allowed   pairs that the mask lets through
    run       pairs that the kernel multiplies
    square    queries times keys
    """

    heads: int
    key_width: int
    value_width: int
    allowed: int
    run: int
    square: int

    def forward(self) -> Flops:
        """Scores and mix."""
        one = 2 * self.heads * (self.key_width + self.value_width)
        return Flops(one * self.allowed, one * self.square, one * self.run)

    def backward(self) -> Flops:
        """dV and dP (v wide), dQ and dK (e wide), and the scores once more, which only executed holds."""
        scores, mix = 2 * self.heads * self.key_width, 2 * self.heads * self.value_width
        twice = 2 * (scores + mix)
        return Flops(twice * self.allowed, twice * self.square, (twice + scores) * self.run)


def causal_pairs(queries: int, keys: int) -> int:
    """Pairs of a causal mask aligned at the top left: query i sees keys 0..i."""
    inside = min(queries, keys)
    return inside * (inside + 1) // 2 + (queries - inside) * keys


def allowed_share(mask: Any, queries: int, keys: int, batch: int, heads: int) -> int:
    """Allowed pairs of a mask tensor, averaged over the heads and summed over the batch."""
    true = mask if mask.dtype.is_floating_point is False else mask > -1e4
    spread = true.expand(*([1] * (4 - mask.dim())), *mask.shape[:-2], queries, keys) if mask.dim() < 4 else true
    seen = int(spread.expand(spread.shape[0], spread.shape[1], queries, keys).sum().item())
    return seen * (batch // int(spread.shape[0])) // int(spread.shape[1])


def dense(call: Call, mask: Any) -> Core:
    """[batch, heads, length, width] tensors."""
    query, key, value = call["query"], call["key"], call["value"]
    batch, heads, queries, width = query.shape
    keys = key.shape[2]
    square = batch * queries * keys
    run = allowed = batch * causal_pairs(queries, keys) if call["is_causal"] else square
    if mask is not None:
        allowed = min(allowed, allowed_share(mask, queries, keys, batch, heads))
    return Core(heads, width, value.shape[-1], allowed, run, square)


@formula(
    "aten::_scaled_dot_product_flash_attention_for_cpu", "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_efficient_attention", "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_fused_attention_overrideable",
)  # fmt: skip
def attention(call: Call) -> Flops:
    """Forward of F.scaled_dot_product_attention's fused kernels."""
    return dense(call, call.first("attn_mask", "attn_bias")).forward()


@formula(
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    "aten::_scaled_dot_product_flash_attention_backward", "aten::_scaled_dot_product_efficient_attention_backward",
    "aten::_scaled_dot_product_cudnn_attention_backward",
    "aten::_scaled_dot_product_fused_attention_overrideable_backward",
)  # fmt: skip
def attention_backward(call: Call) -> Flops:
    """Backward of the same."""
    return dense(call, call.first("attn_mask", "attn_bias")).backward()
