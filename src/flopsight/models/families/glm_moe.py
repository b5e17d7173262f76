"""Grouped-query decoders in the DeepSeek manner: dense layers first, then experts with shared ones and a correction."""

from __future__ import annotations

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.blocks.routed import (
    FULL,
    alternate,
    correction,
    gqa,
    lm,
    masks,
    routed,
    shared,
    sparse_layers,
    window_size,
    with_mtp,
)  # fmt: skip
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, leaf
from flopsight.parts.linear import Linear
from flopsight.parts.masks import Causal, Mask, Window
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation

GATE = "gate.e_score_correction_bias"
BIASED = {"hy_v3", "step3p5"}
"""Model types whose MLPs have the biases that `mlp_bias` asks for; elsewhere the key is inherited and dead."""


def dense_mlp(c: Config, width: int) -> Node:
    """The MLP of the first layers."""
    bias = c.flag("mlp_bias", default=False) if c.model_type in BIASED else False
    return gated_mlp(width, c.int("intermediate_size"), bias=bias, activate=c.word("hidden_act", default="silu"))


def share(c: Config, width: int, inner: int) -> Node | None:
    """Shared experts as one MLP; None if there are none."""
    bias = c.flag("mlp_bias", default=False) if c.model_type in BIASED else False
    return gated_mlp(width, inner, "shared_experts", bias=bias, kind="shared_experts") if inner else None


def sparse(c: Config, width: int, bias: Node | None = None) -> Node:
    """Experts of `moe_intermediate_size`, and shared ones as one MLP of as many times that width."""
    inner = c.int("moe_intermediate_size")
    experts = routed(c, width, inner)
    times = c.maybe("n_shared_experts", "num_shared_experts", least=0) or 0
    extra = (bias or correction(experts.experts, GATE),)
    return moe(experts, shared=share(c, width, times * inner), extra=extra)


def assemble(c: Config, width: int, mixers: list[Node], kinds: list[bool], ffn: Node, *, mtp: bool = True) -> Model:
    """Pre-norm layers, and those that predict further tokens if the file says there are any."""
    ffns = alternate(kinds, ffn, lambda: dense_mlp(c, width))
    layers = [pre_norm_layer(Norm(width), m, f) for m, f in zip(mixers, ffns, strict=True)]
    model = lm(c, layers, width)
    return with_mtp(c, model, pre_norm_layer(Norm(width), mixers[-1], ffn), width) if mtp else model


def glm4_moe(c: Config) -> Model:
    """GLM-4.5 to 4.7: biases on query, key and value; a norm over each of their heads where `use_qk_norm`."""
    width = c.int("hidden_size")
    qk_norm = "head" if c.flag("use_qk_norm", default=False) else ""
    mixer = gqa(c, width, output_bias=False, qk_norm=qk_norm).node()
    return assemble(c, width, [mixer] * c.layers(), sparse_layers(c), sparse(c, width))


def solar_open(c: Config) -> Model:
    """GLM-4.5 without dense layers and without query and key norms."""
    width = c.int("hidden_size")
    mixer = gqa(c, width, output_bias=False).node()
    c.ignore("first_k_dense_replace", "intermediate_size")
    return assemble(c, width, [mixer] * c.layers(), [True] * c.layers(), sparse(c, width), mtp=False)


def dots1(c: Config) -> Model:
    """Query and key norms in every layer; windows from `max_window_layers` on, which files set to all layers."""
    width = c.int("hidden_size")
    first = c.int("max_window_layers", least=0)
    mixers = [gqa(c, width, m, qk_norm="head").node() for m in masks(c, lambda i: i >= first, window_size(c))]
    return assemble(c, width, mixers, sparse_layers(c), sparse(c, width))


def exaone_pattern(c: Config) -> list[bool]:
    """Which layers slide: all but every n-th for a number, the letter L of a repeated string."""
    count = c.layers()
    pattern = c.get("sliding_window_pattern", default=None)
    if isinstance(pattern, str):
        if not pattern or set(pattern) - {"L", "G"}:
            raise c.fail("sliding_window_pattern", pattern, "a number or a string of L and G")
        return [pattern[i % len(pattern)] == "L" and i < count - 1 for i in range(count)]
    step = c.maybe("sliding_window_pattern", least=0) or 0
    return [bool(step) and (i + 1) % step != 0 for i in range(count)]


def exaone_moe(c: Config) -> Model:
    """K-EXAONE: query and key norms, windows on three layers of four, one dense layer."""
    width = c.int("hidden_size")
    slides = exaone_pattern(c)
    mixers = [
        gqa(c, width, m, bias=False, qk_norm="head").node() for m in masks(c, lambda i: slides[i], window_size(c))
    ]
    return assemble(c, width, mixers, sparse_layers(c, 1), sparse(c, width))


def hy_v3(c: Config) -> Model:
    """Hunyuan 3: query and key norms, one dense layer, the correction beside the router."""
    width = c.int("hidden_size")
    mixer = gqa(c, width, qk_norm="head").node()
    bias = correction(c.int("num_experts", "num_local_experts"), "e_score_correction_bias")
    return assemble(c, width, [mixer] * c.layers(), sparse_layers(c, 1), sparse(c, width, bias), mtp=False)


def kolibri1(c: Config) -> Model:
    """A norm before and after both blocks, windows on four layers of five, experts everywhere."""
    width = c.int("hidden_size")
    norm = Norm(width)
    experts = routed(c, width, c.int("moe_intermediate_size"), count=("num_experts", "num_local_experts"))
    beside = shared(width, c.int("shared_expert_intermediate_size", least=0))
    ffn = moe(experts, shared=beside, extra=(correction(experts.experts, GATE),))
    layers = [
        _sandwich(
            norm,
            gqa(c, width, mask, qk_norm="head").node(),
            ffn,
            "post_self_attn_layernorm",
            "post_attention_layernorm",
        )
        for mask in masks(c, lambda i: (i + 1) % 5 != 0, window_size(c))
    ]
    return lm(c, layers, width)


def _sandwich(norm: Norm, mixer: Node, ffn: Node, after: str, before: str) -> Node:
    return block(
        leaf("input_layernorm", norm, place="pre"), mixer, leaf(after, norm, place="post"),
        leaf(before, norm, place="pre"), ffn, leaf("post_mlp_layernorm", norm, place="post"), width=norm.width,
    )  # fmt: skip


def afmoe(c: Config) -> Model:
    """Trinity: a sigmoid gate on attention's output, norms before and after, windows on three layers of four."""
    width, count = c.int("hidden_size"), c.layers()
    every = c.int("global_attn_every_n_layers")
    dense = c.int("num_dense_layers", least=0)
    inner = c.int("moe_intermediate_size")
    experts = routed(c, width, inner, count=("num_experts", "num_local_experts"))
    beside = shared(width, inner * c.int("num_shared_experts", least=0))
    bias = correction(experts.experts, "expert_bias", stored=True)
    ffn = moe(experts, router="router.gate", shared=beside, extra=(bias,))
    ffns = alternate([i >= dense for i in range(count)], ffn, lambda: dense_mlp(c, width))
    placed = masks(c, lambda i: (i + 1) % every != 0, window_size(c))
    layers = [
        _sandwich(
            Norm(width),
            _gated(gqa(c, width, m, qk_norm="head"), "gate_proj"),
            f,
            "post_attention_layernorm",
            "pre_mlp_layernorm",
        )
        for m, f in zip(placed, ffns, strict=True)
    ]
    return lm(c, layers, width)


def _gated(attention: Attention, name: str, *, per_head: bool = False) -> Node:
    """Attention whose output is scaled by the sigmoid of a projection of the input."""
    values = attention.heads * (attention.value_width or attention.key_width)
    gate = leaf(name, Linear("attention", attention.width, attention.heads if per_head else values))
    return attention.node("self_attn", gate, leaf("output_gate", activation("sigmoid", values, gated=True)))


def head_gating(c: Config) -> bool:
    """Whether the output gate has one value a head (`gating` true or "per-head") or one for every element."""
    return c.get("gating", default=True) in (True, "per-head")


def laguna(c: Config) -> Model:
    """Query and key norms, an output gate, heads that may differ by layer, one dense layer."""
    width, count = c.int("hidden_size"), c.layers()
    heads = c.ints("num_attention_heads_per_layer", least=1) or (c.int("num_attention_heads"),) * count
    if len(heads) != count:
        raise c.fail("num_attention_heads_per_layer", list(heads), f"a list of {count} numbers")
    placed = masks(c, lambda i: False, window_size(c))
    per_head = head_gating(c)
    mixers = [
        _gated(gqa(c, width, m, qk_norm="head", heads=h), "g_proj", per_head=per_head)
        for m, h in zip(placed, heads, strict=True)
    ]
    experts = routed(c, width, c.int("moe_intermediate_size"), count=("num_experts", "num_local_experts"))
    beside = shared(width, c.int("shared_expert_intermediate_size", least=0))
    ffn = moe(experts, shared=beside, extra=(correction(experts.experts, GATE, stored=True),))
    return assemble(c, width, mixers, sparse_layers(c, 1), ffn, mtp=False)


def cohere2_moe(c: Config) -> Model:
    """Attention and experts side by side behind one norm; windows on three layers of four; tied head."""
    width, inner = c.int("hidden_size"), c.int("intermediate_size")
    experts = routed(c, width, inner, count=("num_experts", "num_local_experts"))
    ffn = moe(experts, shared=shared(width, inner * c.int("num_shared_experts", least=0)))
    kinds = sparse_layers(c)
    ffns = alternate(kinds, ffn, lambda: gated_mlp(width, c.maybe("prefix_dense_intermediate_size") or inner))
    norm = Norm(width) if c.get("rms_norm_eps", default=None) is not None else Norm(width, "layer")
    layers = [
        block(leaf("input_layernorm", norm, place="pre"), gqa(c, width, mask).node(), f, width=width)
        for mask, f in zip(_cohere_masks(c, kinds), ffns, strict=True)
    ]
    return lm(c, layers, width, norm=norm)


def _cohere_masks(c: Config, kinds: list[bool]) -> list[Mask]:
    # the dense layers at the start have a pattern of their own, and both count from their first layer
    first = c.maybe("first_k_dense_replace", least=0) or 0
    prefix, rest = c.int("prefix_dense_sliding_window_pattern"), c.int("sliding_window_pattern")
    slides = [(i + 1) % prefix != 0 if i < first else (i - first + 1) % rest != 0 for i in range(len(kinds))]
    return masks(c, lambda i: slides[i], window_size(c))


def step3p5(c: Config) -> Model:
    """Step-3.5: an output gate a head, more heads in layers with a window, three dense layers."""
    width, count = c.int("hidden_size"), c.layers()
    kinds = step_kinds(c, count)
    types = c.list("layer_types")
    sliding = [t == "sliding_attention" for t in (types or [FULL] * count)][:count]
    if len(sliding) < count:
        raise c.fail("layer_types", types, f"a list of at least {count} strings")
    mixers = [_step_mixer(c, width, slide) for slide in sliding]
    experts = routed(c, width, c.int("moe_intermediate_size"), count=("moe_num_experts", "n_routed_experts"))
    beside = share(c, width, c.int("share_expert_dim", "share_expert_dims", least=0))
    ffn = moe(experts, shared=beside, extra=(correction(experts.experts, GATE),))
    return assemble(c, width, mixers, kinds, ffn)


def _step_mixer(c: Config, width: int, slide: bool) -> Node:
    size = window_size(c)
    heads = c.heads(width)
    other = c.sub("attention_other_setting")
    more = c.maybe("num_sliding_attention_heads") or other.maybe("num_attention_heads") or heads
    other.ignore("num_attention_groups", "head_dim", "true_head_dim")
    mask = Window(size) if slide and size else Causal()
    kv = ("num_attention_groups", "num_key_value_heads")
    return _gated(gqa(c, width, mask, qk_norm="head", heads=more if slide else heads, kv=kv), "g_proj", per_head=True)


def step_kinds(c: Config, count: int) -> list[bool]:
    """Routed layers by `mlp_layer_types` or the comma-separated `moe_layers_enum`, else all from the fourth on."""
    kinds = c.list("mlp_layer_types")
    if kinds is not None:
        if len(kinds) < count:
            raise c.fail("mlp_layer_types", kinds, f"a list of at least {count} strings")
        return [kind == "sparse" for kind in kinds[:count]]
    listed = c.get("moe_layers_enum", default=None)
    if listed is None:
        return [i >= 3 for i in range(count)]
    items = listed.split(",") if isinstance(listed, str) else listed
    if not isinstance(items, list) or not all(str(i).strip().isdigit() for i in items if str(i).strip()):
        raise c.fail("moe_layers_enum", listed, "numbers of layers with commas between them")
    chosen = {int(i) for i in items if str(i).strip()}
    return [i in chosen for i in range(count)]


FAMILIES = {
    "glm4_moe": glm4_moe, "solar_open": solar_open, "dots1": dots1, "exaone_moe": exaone_moe, "hy_v3": hy_v3,
    "kolibri1": kolibri1, "afmoe": afmoe, "laguna": laguna, "cohere2_moe": cohere2_moe, "step3p5": step3p5,
}  # fmt: skip
