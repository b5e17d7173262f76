"""MiMo-V2: two kinds of attention with their own key-value heads, values narrower than keys."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.blocks.routed import (
    FULL,
    SLIDING,
    alternate,
    correction,
    gqa,
    listed_layers,
    lm,
    routed,
    shared,
    sinks,
    sparse_layers,
)  # fmt: skip
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node
from flopsight.parts.masks import Causal, Window
from flopsight.parts.norm import Norm


def sliding_layers(c: Config) -> list[bool]:
    """`layer_types`, else `hybrid_layer_pattern` (1 slides), else all but the first and every sixth."""
    count = c.layers()
    types = c.words("layer_types", count=count)
    if types is not None:
        if set(types) - {FULL, SLIDING}:
            raise c.fail("layer_types", list(types), f"a list of {FULL} and {SLIDING}")
        return [t == SLIDING for t in types]
    if c.has("hybrid_layer_pattern"):
        return listed_layers(c, "hybrid_layer_pattern", count)
    return [i != 0 and (i + 1) % 6 != 0 for i in range(count)]


def attention(c: Config, width: int, *, slide: bool) -> Node:
    """Layers with a window have twice the key-value heads unless the file names another number, and sinks."""
    # files of SGLang's form state the same window twice; the class takes the first of the two
    size = c.maybe("sliding_window_size")
    c.ignore("sliding_window")
    size = size + 1 if size else c.maybe("sliding_window", least=0)
    base = gqa(c, width, Window(size) if slide and size else Causal(), output_bias=False)
    if slide:
        kv = c.maybe("swa_num_key_value_heads") or 2 * base.kv_heads
        heads = c.maybe("swa_num_attention_heads") or base.heads
        key = c.maybe("swa_head_dim") or base.key_width
        value = c.maybe("swa_v_head_dim") or c.int("v_head_dim")
        if heads % kv:
            raise c.fail("swa_num_key_value_heads", kv, f"a divisor of the {heads} heads")
        found = replace(base, heads=heads, kv_heads=kv, key_width=key, value_width=value, rotary=key)
    else:
        found = replace(base, value_width=c.int("v_head_dim"))
    sink = (
        c.flag("add_swa_attention_sink_bias", default=True)
        if slide
        else c.flag("add_full_attention_sink_bias", default=False)
    )
    return _node(found, sink)


def _node(attention: Attention, sink: bool) -> Node:
    return attention.node("self_attn", *([sinks(attention.heads)] if sink else []))


def routed_layers(c: Config) -> list[bool]:
    """All but the first, unless the file lists them."""
    return sparse_layers(c, 1)


def mimo_v2_flash(c: Config) -> Model:
    """Experts in all but the first layer, a correction on their scores, usually no shared ones."""
    width, inner = c.int("hidden_size"), c.int("moe_intermediate_size")
    experts = routed(c, width, inner)
    beside = shared(width, (c.maybe("n_shared_experts", least=0) or 0) * inner)
    ffn = moe(experts, shared=beside, extra=(correction(experts.experts),))
    ffns = alternate(routed_layers(c), ffn, lambda: gated_mlp(width, c.int("intermediate_size")))
    mixers = {slide: attention(c, width, slide=slide) for slide in (True, False)}
    layers = [pre_norm_layer(Norm(width), mixers[s], f) for s, f in zip(sliding_layers(c), ffns, strict=True)]
    c.ignore("attention_chunk_size", "hybrid_block_size")
    return lm(c, layers, width)


FAMILIES = {"mimo_v2_flash": mimo_v2_flash}
