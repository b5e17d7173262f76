"""Decoders whose every feed-forward block is a set of routed experts: Mixtral and those nearest to it."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.decoder import block, pre_norm_layer
from flopsight.models.blocks.mlp import moe
from flopsight.models.blocks.routed import correction, gqa, lm, routed, shared, window_size
from flopsight.models.config import Config
from flopsight.models.tree import Model, leaf
from flopsight.parts.masks import Causal, Mask, Window
from flopsight.parts.norm import Norm


def window(c: Config) -> Mask:
    """A window over every layer, where the config sets one."""
    size = window_size(c)
    return Window(size) if size else Causal()


def mixtral(c: Config) -> Model:
    """Llama with 8 experts of which 2 are visited, in every layer."""
    width = c.int("hidden_size")
    ffn = moe(routed(c, width, c.int("intermediate_size")))
    layer = pre_norm_layer(Norm(width), gqa(c, width, window(c), bias=False).node(), ffn)
    return lm(c, [layer] * c.layers(), width)


def phimoe(c: Config) -> Model:
    """Mixtral with LayerNorm, biases in attention where `attention_bias`, and a biased head where `lm_head_bias`."""
    width = c.int("hidden_size")
    norm = Norm(width, "layer", bias=True)
    ffn = moe(routed(c, width, c.int("intermediate_size")), router="router")
    layer = pre_norm_layer(norm, gqa(c, width, window(c)).node(), ffn)
    return lm(c, [layer] * c.layers(), width, norm=norm, head_bias=c.flag("lm_head_bias", default=False))


def minimax_m2(c: Config) -> Model:
    """Mixtral with a norm over all of query and of key, and a correction bias (a buffer) on the scores."""
    width = c.int("hidden_size")
    experts = routed(c, width, c.int("intermediate_size"), count=("num_local_experts", "num_experts"))
    ffn = moe(experts, extra=(correction(experts.experts, "e_score_correction_bias"),))
    qk_norm = "full" if c.flag("use_qk_norm", default=True) else ""
    layer = pre_norm_layer(Norm(width), gqa(c, width, bias=False, qk_norm=qk_norm).node(), ffn)
    # one kind of attention in every layer; the key is left from the hybrid model before it
    if set(c.ints("attn_type_list") or (1,)) != {1}:
        raise c.fail("attn_type_list", c.raw["attn_type_list"], "a list of ones")
    c.ignore("mtp_transformer_layers", "use_mtp", "use_routing_bias")
    return lm(c, [layer] * c.layers(), width)


def olmoe(c: Config) -> Model:
    """Mixtral with a norm over all of query and of key."""
    width = c.int("hidden_size")
    ffn = moe(routed(c, width, c.int("intermediate_size")))
    layer = pre_norm_layer(Norm(width), gqa(c, width, qk_norm="full").node(), ffn)
    return lm(c, [layer] * c.layers(), width)


def flex_olmo(c: Config) -> Model:
    """OLMoE with the norms after attention and after the experts, before each addition."""
    width = c.int("hidden_size")
    norm = Norm(width)
    layer = block(
        gqa(c, width, qk_norm="full").node(),
        leaf("post_attention_layernorm", norm, place="post"),
        moe(routed(c, width, c.int("intermediate_size"))),
        leaf("post_feedforward_layernorm", norm, place="post"),
        width=width,
    )
    return lm(c, [layer] * c.layers(), width)


def aria_text(c: Config) -> Model:
    """Mixtral with matrices stored input first and shared experts of `moe_num_shared_experts` times the width."""
    width, inner = c.int("hidden_size"), c.int("intermediate_size")
    experts = replace(routed(c, width, inner), transposed=True, up="gate_up_proj", down="down_proj")
    beside = shared(width, inner * c.int("moe_num_shared_experts", least=0))
    ffn = moe(experts, router="router", shared=beside)
    layer = pre_norm_layer(Norm(width), gqa(c, width).node(), ffn)
    return lm(c, [layer] * c.layers(), width)


FAMILIES = {
    "mixtral": mixtral, "phimoe": phimoe, "minimax_m2": minimax_m2, "olmoe": olmoe, "flex_olmo": flex_olmo,
    "aria_text": aria_text,
}  # fmt: skip
