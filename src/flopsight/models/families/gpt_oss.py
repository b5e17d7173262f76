"""gpt-oss: sinks, biases everywhere, windows on every other layer, experts stored input first."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.mlp import moe
from flopsight.models.blocks.routed import gqa, lm, masks, routed, sinks, window_size
from flopsight.models.config import Config
from flopsight.models.tree import Model
from flopsight.parts.norm import Norm


def gpt_oss(c: Config) -> Model:
    """Layers 0, 2, 4, ... look back `sliding_window` tokens unless `layer_types` says otherwise."""
    width = c.int("hidden_size")
    experts = routed(c, width, c.int("intermediate_size"), count=("num_local_experts", "num_experts"))
    c.ignore("experts_per_token")
    ffn = moe(replace(experts, bias=True, transposed=True), router="router", router_bias=True)
    layers = []
    for mask in masks(c, lambda i: i % 2 == 0, window_size(c)):
        attention = gqa(c, width, mask)
        layers.append(pre_norm_layer(Norm(width), attention.node("self_attn", sinks(attention.heads)), ffn))
    return lm(c, layers, width)


FAMILIES = {"gpt_oss": gpt_oss}
