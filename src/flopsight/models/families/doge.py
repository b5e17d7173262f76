"""Doge: attention that keeps the keys with the largest gates, weighed residuals, experts of one neuron."""

from __future__ import annotations

from math import isqrt

from flopsight.models.blocks.mlp import act, gated_mlp
from flopsight.models.config import Config
from flopsight.models.families.dense import decoder, gqa
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.linear import Linear, Parameter
from flopsight.parts.masks import Mask, TopK, Window
from flopsight.parts.norm import Norm
from flopsight.parts.retrieval import ExpertTable
from flopsight.parts.vector import activation, softmax


def doge(c: Config) -> Model:
    """Llama with gates on its keys, norms over each head of query and key, and residuals times a vector."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    ffn = feed_forward(c, width)
    layer = branch(
        "",
        leaf("input_layernorm", norm, place="pre"),
        attention(c, width),
        leaf("input_residual", Parameter("other", (width,), 2 * width)),
        leaf("post_attention_layernorm", norm, place="pre"),
        ffn,
        leaf("post_attention_residual", Parameter("other", (width,), 2 * width)),
    )
    return decoder(c, [layer] * c.layers(), norm)


def mask(c: Config) -> Mask:
    """The `keep_window_size` strongest keys, or the window where that is smaller."""
    keep, window = c.int("keep_window_size"), c.maybe("sliding_window")
    return Window(window) if window and window <= keep else TopK(keep)


def attention(c: Config, width: int) -> Node:
    """The gate of each key is computed from its value, once."""
    bias = c.flag("attention_bias", default=False)
    plan = gqa(c, width, mask(c), biases=(bias,) * 4, qk_norm="head")
    gate = Linear("attention", plan.kv_heads * plan.key_width, plan.kv_heads, bias)
    return plan.node(
        "self_attn",
        leaf("A", Parameter("attention", (plan.kv_heads,), plan.kv_heads)),
        leaf("dt_proj", gate),
        leaf("dt_act", activation("softplus", plan.kv_heads)),
    )


def feed_forward(c: Config, width: int) -> Node:
    """A gated block; with experts, the same block beside rows looked up by product keys."""
    inner, bias = c.int("intermediate_size"), c.flag("mlp_bias", default=False)
    activate = c.word("hidden_act", default="silu")
    if not c.flag("is_moe", default=False):
        c.ignore("num_experts", "num_experts_per_tok")
        return gated_mlp(width, inner, bias=bias, activate=activate)
    count = c.int("num_experts")
    keys = isqrt(count)
    visited = c.int("num_experts_per_tok", most=keys * keys)
    shared = gated_mlp(width, inner, bias=bias, activate=activate, kind="shared_experts")
    return branch(
        "mlp",
        *shared.children,
        leaf("router_gate", Linear("router", width, 2 * keys)),
        leaf("route", softmax(keys * keys, "top-k of sums of keys")),
        leaf("down_embed", ExpertTable(count, visited, width)),
        leaf("expert_act", activation(act(activate), visited)),
        leaf("up_embed", ExpertTable(count, visited, width)),
    )


FAMILIES = {"doge": doge}
