"""Qwen's routed decoders and those built like them: experts in some layers, an own width for shared ones."""

from __future__ import annotations

from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.blocks.routed import (
    alternate,
    gqa,
    lm,
    masks,
    routed,
    shared,
    sinks,
    sparse_layers,
    window_size,
    with_mtp,
)  # fmt: skip
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.linear import Linear
from flopsight.parts.masks import Causal, Mask, Window
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation


def stepped_layers(c: Config, only: tuple[int, ...] = ()) -> list[bool]:
    """Every `decoder_sparse_step`-th layer is routed, unless `mlp_only_layers` lists it."""
    listed = c.ints("mlp_only_layers")
    dense = set(only if listed is None else listed)
    step = c.int("decoder_sparse_step", default=1)
    return [i not in dense and (i + 1) % step == 0 for i in range(c.layers())]


def dense_mlp(c: Config, width: int) -> Node:
    """The MLP of layers without experts."""
    return gated_mlp(width, c.int("intermediate_size"), activate=c.word("hidden_act", default="silu"))


def gated_share(width: int, inner: int) -> tuple[Node, ...]:
    """A shared expert and the sigmoid gate that scales its output."""
    beside = shared(width, inner, "shared_expert")
    gate = branch(
        "shared_expert_gate",
        leaf("", Linear("shared_experts", width, 1)),
        leaf("act", activation("sigmoid", width, gated=True)),
    )
    return (beside, gate) if beside else (gate,)


def sparse(c: Config, width: int, *extra: Node) -> Node:
    """Routed experts of `moe_intermediate_size`."""
    experts = routed(c, width, c.int("moe_intermediate_size"), count=("num_experts", "num_local_experts"))
    return moe(experts, extra=extra)


def switched_window(c: Config) -> int | None:
    """The window's size if `use_sliding_window` is on; most files set a size and leave it off."""
    size = window_size(c)
    c.ignore("max_window_layers")
    return size if c.flag("use_sliding_window", default=False) else None


def assemble(c: Config, width: int, mixers: list[Node], kinds: list[bool], ffn: Node) -> Model:
    """Pre-norm layers of given mixers with `ffn` where routed and the dense MLP elsewhere."""
    ffns = alternate(kinds, ffn, lambda: dense_mlp(c, width))
    if all(kinds):
        c.ignore("intermediate_size")
    c.ignore("use_qk_norm")
    layers = [pre_norm_layer(Norm(width), m, f) for m, f in zip(mixers, ffns, strict=True)]
    return lm(c, layers, width)


def qwen2_moe(c: Config) -> Model:
    """Biases on query, key and value; 60 small experts beside a gated shared one."""
    width = c.int("hidden_size")
    below = c.maybe("max_window_layers", least=0) or 0
    placed = masks(c, lambda i: i % 2 == 0 and i < below, switched_window(c))
    biased = c.flag("qkv_bias", default=True)
    mixers = [gqa(c, width, m, bias=biased, output_bias=False).node() for m in placed]
    ffn = sparse(c, width, *gated_share(width, c.int("shared_expert_intermediate_size", least=0)))
    return assemble(c, width, mixers, stepped_layers(c), ffn)


def qwen3_moe(c: Config) -> Model:
    """A norm over each head of query and key, no shared expert."""
    width = c.int("hidden_size")
    size = switched_window(c)
    mask: Mask = Window(size) if size else Causal()
    c.ignore("layer_types")
    mixer = gqa(c, width, mask, qk_norm="head").node()
    return assemble(c, width, [mixer] * c.layers(), stepped_layers(c), sparse(c, width))


def mellum(c: Config) -> Model:
    """Qwen3-MoE with windows by `layer_types` and dense layers by `mlp_layer_types`."""
    width = c.int("hidden_size")
    size = window_size(c)
    mixers = [gqa(c, width, m, qk_norm="head").node() for m in masks(c, lambda i: False, size)]
    ffn = sparse(c, width)
    model = assemble(c, width, mixers, sparse_layers(c), ffn)
    c.ignore("mtp_layer_types", "mtp_mlp_layer_types")
    further = gqa(c, width, Window(size) if size else Causal(), qk_norm="head").node()
    return with_mtp(c, model, pre_norm_layer(Norm(width), further, ffn), width)


def flint(c: Config) -> Model:
    """Qwen3-MoE with sinks, a shared expert, two dense layers first and windows on three layers of four."""
    width, count = c.int("hidden_size"), c.layers()
    placed = masks(c, lambda i: not (i < 2 or i % 4 == 1 or i == count - 1), window_size(c))
    mixers = []
    for mask in placed:
        attention = gqa(c, width, mask, qk_norm="head")
        mixers.append(attention.node("self_attn", sinks(attention.heads)))
    beside = shared(width, c.int("shared_expert_intermediate_size", least=0), "shared_expert")
    ffn = sparse(c, width, *([beside] if beside else []))
    return assemble(c, width, mixers, stepped_layers(c, (0, 1)), ffn)


FAMILIES = {"qwen2_moe": qwen2_moe, "qwen3_moe": qwen3_moe, "mellum": mellum, "flint": flint}
