"""Decoders whose every feed-forward block is a set of routed experts."""

from __future__ import annotations

from flopsight.models.blocks.decoder import causal_lm, pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.config import Config
from flopsight.models.families.llama import attention, layer_masks, window
from flopsight.models.tree import Model
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm


def top_k(c: Config, experts: int) -> int:
    """Experts a token visits; never more than there are."""
    return c.int("num_experts_per_tok", most=experts)


def mixtral(c: Config) -> Model:
    """Llama with 8 experts of which 2 are visited, in every layer."""
    width = c.int("hidden_size")
    count = c.int("num_local_experts")
    ffn = moe(Experts(count, top_k(c, count), width, c.int("intermediate_size")))
    layer = pre_norm_layer(Norm(width), attention(c, width, window(c)).node(), ffn)
    return causal_lm(
        [layer] * c.layers(), family="mixtral", vocab=c.int("vocab_size"), width=width, tied=c.tied(), norm=Norm(width)
    )


def qwen3_moe(c: Config) -> Model:
    """Qwen3 with experts in every `decoder_sparse_step`-th layer not listed in `mlp_only_layers`."""
    width, count = c.int("hidden_size"), c.int("num_experts")
    sparse = moe(Experts(count, top_k(c, count), width, c.int("moe_intermediate_size")))
    dense = gated_mlp(width, c.int("intermediate_size"))
    step, only = c.int("decoder_sparse_step", least=1), set(c.ints("mlp_only_layers") or ())
    ffns = [dense if i in only or (i + 1) % step else sparse for i in range(c.layers())]
    layers = [
        pre_norm_layer(Norm(width), attention(c, width, mask, qk_norm="head").node(), ffn)
        for mask, ffn in zip(layer_masks(c), ffns, strict=True)
    ]
    return causal_lm(
        layers, family="qwen3_moe", vocab=c.int("vocab_size"), width=width, tied=c.tied(), norm=Norm(width)
    )


FAMILIES = {"mixtral": mixtral, "qwen3_moe": qwen3_moe}
