"""Granite's routed decoders, and JetMoE, whose attention is routed too."""

from __future__ import annotations

from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.mlp import act, moe
from flopsight.models.blocks.routed import gqa, lm, masks, routed, sinks, window_size
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.attention import AttentionCore
from flopsight.parts.linear import Linear, Parameter
from flopsight.parts.masks import Causal, Mask
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm
from flopsight.parts.routed import RoutedLinear
from flopsight.parts.vector import activation, rope, softmax


def shared_mlp(c: Config, width: int) -> Node | None:
    """The MLP every token visits, gate and up in one matrix; none if its width is 0."""
    inner = c.maybe("shared_intermediate_size", least=0) or 0
    if not inner:
        return None
    return branch(
        "shared_mlp",
        leaf("input_linear", Linear("shared_experts", width, 2 * inner)),
        leaf("act", activation(act(c.word("hidden_act", default="silu")), inner, gated=True)),
        leaf("output_linear", Linear("shared_experts", inner, width)),
    )


def _assemble(c: Config, width: int, mixers: list[Node], beside: Node | None) -> Model:
    ffn = moe(routed(c, width, c.int("intermediate_size")), name="block_sparse_moe", router="router")
    layers = []
    for mixer in mixers:
        layer = pre_norm_layer(Norm(width), mixer, ffn)
        layers.append(branch("", *layer.children, beside))
    return lm(c, layers, width)


def granitemoe(c: Config) -> Model:
    """Mixtral with Granite's multipliers, which cost nothing here."""
    width = c.int("hidden_size")
    return _assemble(c, width, [gqa(c, width).node()] * c.layers(), None)


def granitemoeshared(c: Config) -> Model:
    """GraniteMoE with an MLP that every token visits."""
    width = c.int("hidden_size")
    return _assemble(c, width, [gqa(c, width).node()] * c.layers(), shared_mlp(c, width))


def granitemoe_swa(c: Config) -> Model:
    """GraniteMoE with sinks, and windows on three layers of four."""
    width = c.int("hidden_size")
    mixers = []
    for mask in masks(c, lambda i: i % 4 != 0, window_size(c)):
        attention = gqa(c, width, mask)
        mixers.append(attention.node("self_attn", sinks(attention.heads)))
    return _assemble(c, width, mixers, shared_mlp(c, width))


def _router(width: int, count: int) -> tuple[Node, Node]:
    score = branch("router", leaf("layer", Linear("router", width, count)))
    return score, leaf("route", softmax(count, "softmax, top-k"))


def _routed_attention(c: Config, width: int, count: int, visited: int) -> Node:
    """Each visited expert has its own query and output projection; key and value are shared."""
    kv, e = c.int("num_key_value_heads"), c.int("kv_channels", "head_dim")
    heads, inner, mask = kv * visited, kv * e, Causal()
    router, route = _router(width, count)
    return branch(
        "self_attention",
        branch(
            "experts",
            leaf("bias", Parameter("attention", (width,), width)),
            leaf("input_linear", RoutedLinear("attention", count, visited, width, inner)),
            leaf("output_linear", RoutedLinear("attention", count, visited, inner, width)),
            router,
            route,
        ),
        leaf("kv_proj", Linear("attention", width, 2 * inner)),
        leaf("rope", rope(heads + kv, e)),
        leaf("core", _core(heads, e, kv, mask)),
    )


def _core(heads: int, e: int, kv: int, mask: Mask) -> AttentionCore:
    return AttentionCore(heads, e, e, kv, mask)


def jetmoe(c: Config) -> Model:
    """Routed attention and routed MLPs, each with a bias on its output."""
    width = c.int("hidden_size")
    count = c.int("num_local_experts", "num_experts")
    visited = c.int("num_experts_per_tok", most=count)
    c.ignore("num_attention_heads")
    experts = Experts(
        count, visited, width, c.int("intermediate_size"), up="input_linear.weight", down="output_linear.weight",
        activation=act(c.word("activation_function", default="silu")),
    )  # fmt: skip
    ffn = branch("mlp", leaf("bias", Parameter("mlp", (width,), width)), *_router(width, count), leaf("", experts))
    layer = pre_norm_layer(Norm(width), _routed_attention(c, width, count, visited), ffn)
    return lm(c, [layer] * c.layers(), width)


FAMILIES = {
    "granitemoe": granitemoe, "granitemoeshared": granitemoeshared, "granitemoe_swa": granitemoe_swa, "jetmoe": jetmoe,
}  # fmt: skip
