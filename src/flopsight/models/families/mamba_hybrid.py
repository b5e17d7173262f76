"""Decoders that mix Mamba layers with attention: Jamba, Bamba, Granite 4 hybrids, Falcon-H1, Nemotron-H."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flopsight.models.blocks.decoder import block, causal_lm, pre_norm_layer
from flopsight.models.blocks.mlp import act, gated_mlp, moe, plain_mlp
from flopsight.models.blocks.recurrent import (
    FULL,
    LINEAR,
    WORDS,
    Mamba1,
    Mamba2,
    checked_groups,
    inner_width,
    kinds,
    linear,
    usual_mamba2,
)  # fmt: skip
from flopsight.models.blocks.routed import correction, gqa, mtp_count, routed
from flopsight.models.config import Config
from flopsight.models.families.mamba import step_rank
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm
from flopsight.parts.vector import softmax

NAMES = ("input_layernorm", "pre_ff_layernorm")


def assembled(
    c: Config, width: int, layers: Iterable[Node], norm: str = "final_layernorm", embed: str = "embed_tokens"
) -> Model:
    """The decoder around `layers`."""
    return causal_lm(
        layers, family=c.model_type, vocab=c.int("vocab_size"), width=width, tied=c.tied(), norm=Norm(width),
        norm_name=norm, embed=embed,
    )  # fmt: skip


def every(c: Config, period: str, offset: str) -> list[bool]:
    """Layers i with i mod period = offset; the offset is below the period."""
    step, first = c.int(period), c.int(offset, least=0)
    if first >= step:
        raise c.fail(offset, first, f"below {period}, which is {step}")
    return [i % step == first for i in range(c.layers())]


def feed_forward(c: Config, width: int, *, bias: bool = False) -> Node:
    """The gated MLP under the name these families give it."""
    activate = c.word("hidden_act", default="silu")
    return gated_mlp(width, c.int("intermediate_size"), "feed_forward", bias=bias, activate=activate)


def jamba(c: Config) -> Model:
    """Jamba: attention in one layer of eight, experts in one of two; one expert means a plain MLP."""
    width = c.int("hidden_size")
    mixer = Mamba1(
        width, inner_width(c, width, "mamba_expand"), c.int("mamba_d_state"), step_rank(c, width, "mamba_dt_rank"),
        c.int("mamba_d_conv"), c.flag("mamba_proj_bias", default=False), c.flag("mamba_conv_bias", default=True), "own",
    ).node("mamba")  # fmt: skip
    attention = gqa(c, width, bias=False, rotary=False).node()
    attends, sparse = every(c, "attn_layer_period", "attn_layer_offset"), [False] * c.layers()
    dense = experts = feed_forward(c, width)
    if c.int("num_experts") > 1:
        sparse = every(c, "expert_layer_period", "expert_layer_offset")
        experts = moe(routed(c, width, c.int("intermediate_size")), name="feed_forward", router="router")
    c.ignore("num_experts_per_tok", "expert_layer_period", "expert_layer_offset", "layers_block_type")
    layers = [
        pre_norm_layer(Norm(width), attention if a else mixer, experts if s else dense, NAMES)
        for a, s in zip(attends, sparse, strict=True)
    ]
    return assembled(c, width, layers)


def bamba(c: Config) -> Model:
    """Bamba: attention in the layers `attn_layer_indices` names, a gated MLP in every layer."""
    width = c.int("hidden_size")
    listed = set(c.ints("attn_layer_indices") or ())
    mixer = usual_mamba2(c, width, inner_width(c, width, "mamba_expand")).node("mamba")
    attention = gqa(c, width).node() if listed else mixer
    c.ignore("layers_block_type", "layer_types", "num_attention_heads", "num_key_value_heads", "attention_bias")
    c.ignore("attn_rotary_emb")
    ffn = feed_forward(c, width, bias=c.flag("mlp_bias", default=False))
    layers = [pre_norm_layer(Norm(width), attention if i in listed else mixer, ffn, NAMES) for i in range(c.layers())]
    return assembled(c, width, layers)


def granite_ffn(c: Config, width: int) -> tuple[Node | None, Node]:
    """Routed experts, none if `num_local_experts` is zero, and the MLP beside them."""
    inner = c.int("shared_intermediate_size")
    count = c.maybe("num_local_experts", least=0) or 0
    activate = c.word("hidden_act", default="silu")
    kind = "shared_experts" if count else "mlp"
    names = ("", "", "output_linear")
    beside = gated_mlp(width, inner, "shared_mlp", names=names, fused="input_linear", kind=kind, activate=activate)
    c.ignore("intermediate_size", "num_experts_per_tok", "mlp_bias")
    if not count:
        return None, beside
    return moe(routed(c, width, c.int("intermediate_size")), name="block_sparse_moe", router="router"), beside


def granitemoehybrid(c: Config) -> Model:
    """Granite 4: Mamba-2 or attention by `layer_types`, then experts and a shared MLP, or that MLP alone."""
    width, count = c.int("hidden_size"), c.layers()
    types = kinds(c, ("layer_types", "layers_block_type"), count, WORDS, [LINEAR] * count)
    rotary = c.get("position_embedding_type", default=None) == "rope"
    mixers = {}
    if LINEAR in types:
        mixers[LINEAR] = usual_mamba2(c, width, inner_width(c, width, "mamba_expand")).node("mamba")
    else:
        c.ignore(*(key for key in c.raw if key.startswith("mamba_")))
    if FULL in types:
        mixers[FULL] = gqa(c, width, rotary=rotary).node()
    else:
        c.ignore("num_attention_heads", "num_key_value_heads", "attention_bias")
    experts, beside = granite_ffn(c, width)
    norm = Norm(width)
    layers = [
        block(
            leaf("input_layernorm", norm, place="pre"), mixers[kind],
            leaf("post_attention_layernorm", norm, place="pre"), experts, beside, width=width,
            residuals=3 if experts else 2,
        )
        for kind in types
    ]  # fmt: skip
    return assembled(c, width, layers, "norm")


def falcon_h1(c: Config) -> Model:
    """Falcon-H1: attention and Mamba-2 side by side in every layer."""
    width = c.int("hidden_size")
    inner = c.maybe("mamba_d_ssm") or inner_width(c, width, "mamba_expand")
    c.ignore("mamba_expand", "layers_block_type", "layer_types", "mamba_norm_before_gate", "mamba_use_mlp")
    mixer = usual_mamba2(c, width, inner, normed=c.flag("mamba_rms_norm", default=False), out="projectors_bias")
    layer = block(
        feed_forward(c, width, bias=c.flag("mlp_bias", default=False)),
        mixer.node("mamba"),
        gqa(c, width).node(),
        leaf("input_layernorm", Norm(width), place="pre"),
        leaf("pre_ff_layernorm", Norm(width), place="pre"),
        width=width,
        residuals=3,
    )
    return assembled(c, width, [layer] * c.layers())


# ------------------------------------------------------------------ Nemotron-H

MLP, MOE = "mlp", "moe"
LETTERS = {"M": LINEAR, "*": FULL, "-": MLP, "E": MOE}
NEMOTRON_WORDS = {**WORDS, MLP: MLP, MOE: MOE}


def pattern(c: Config, listed: tuple[str, ...], letters: str, default: list[str]) -> tuple[str, ...]:
    """Kinds of layers from a list of words or from a string of letters; the list wins."""
    text = c.get(letters, default=None)
    if c.words(*listed) is not None or text is None:
        return kinds(c, listed, 0, NEMOTRON_WORDS, default)
    if not isinstance(text, str) or not text or len(text) > 100_000 or set(text) - set(LETTERS):
        raise c.fail(letters, text, f"a string of {' '.join(LETTERS)}")
    return tuple(LETTERS[letter] for letter in text)


def nemotron_mamba(c: Config, width: int) -> Node:
    """Mamba-2 of `mamba_num_heads` heads; `expand` has no influence."""
    heads, bias = c.int("mamba_num_heads"), c.flag("use_bias", default=False)
    c.ignore("expand", "mamba_expand", "mamba_proj_bias")
    return Mamba2(
        width, heads, c.int("mamba_head_dim"), checked_groups(c, heads, "n_groups", "mamba_n_groups"),
        c.int("ssm_state_size"), c.int("conv_kernel", "mamba_d_conv"), c.int("chunk_size", "mamba_chunk_size"),
        bias, conv_bias=c.flag("use_conv_bias", "mamba_conv_bias", default=True),
    ).node("mixer")  # fmt: skip


def nemotron_mlp(c: Config, width: int, inner: int, name: str = "mixer", kind: str = MLP) -> Node:
    """Two matrices and the squared rectifier."""
    return plain_mlp(
        width, inner, name, bias=c.flag("mlp_bias", default=False), names=("up_proj", "down_proj"), kind=kind,
        activate=c.word("mlp_hidden_act", default="relu2"),
    )  # fmt: skip


def nemotron_moe(c: Config, width: int) -> Node:
    """Experts without a gate on the width or on a narrower latent one, and a shared expert of its own width."""
    latent = c.maybe("moe_latent_size")
    count, bias = c.int("n_routed_experts"), c.flag("mlp_bias", default=False)
    experts = Experts(
        count, c.int("num_experts_per_tok", most=count), latent or width, c.int("moe_intermediate_size"), gated=False,
        activation=act(c.word("mlp_hidden_act", default="relu2")), up="up_proj",
    )  # fmt: skip
    c.ignore("n_shared_experts", "intermediate_size")
    inward = linear("fc1_latent_proj", width, latent, bias=bias, kind="experts") if latent else None
    outward = linear("fc2_latent_proj", latent, width, bias=bias, kind="experts") if latent else None
    return branch(
        "mixer",
        inward,
        leaf("experts", experts),
        branch("gate", leaf("", Linear("router", width, count)), leaf("route", softmax(count, "softmax, top-k"))),
        correction(count),
        outward,
        nemotron_mlp(c, width, c.int("moe_shared_expert_intermediate_size"), "shared_experts", "shared_experts"),
    )


def nemotron_mixers(c: Config, width: int, types: Iterable[str]) -> dict[str, Node]:
    """One mixer for every kind of layer that occurs."""
    made = {
        LINEAR: lambda: nemotron_mamba(c, width),
        FULL: lambda: replace(gqa(c, width, bias=False, rotary=False).node(), name="mixer"),
        MLP: lambda: nemotron_mlp(c, width, c.int("intermediate_size")),
        MOE: lambda: nemotron_moe(c, width),
    }
    return {kind: made[kind]() for kind in dict.fromkeys(types)}


def nemotron_mtp(c: Config, width: int) -> Node | None:
    """The layers that predict a further token: two norms and [2d -> d] first, the layers, a norm last."""
    types = pattern(c, ("mtp_layers_block_type",), "mtp_hybrid_override_pattern", [FULL, MOE])
    count = mtp_count(c)
    if not count:
        return None
    mixers, norm = nemotron_mixers(c, width, types), Norm(width)
    starts = (
        leaf("embed_tokens", Embedding(c.int("vocab_size"), width, tied=True)),
        leaf("enorm", norm, place="pre"), leaf("hnorm", norm, place="pre"),
        linear("eh_proj", 2 * width, width, kind="other"),
    )  # fmt: skip
    ends = (
        leaf("final_layernorm", norm, place="final"),
        leaf("head", Linear("lm_head", width, c.int("vocab_size"), tied=True), stream="scored"),
    )
    layers = []
    for place, kind in enumerate(types):
        own = block(leaf("norm", norm, place="pre"), mixers[kind], width=width, residuals=1)
        first, last = starts if place == 0 else (), ends if place == len(types) - 1 else ()
        copies = tuple(range(place, count * len(types), len(types)))
        layers.append(replace(own, children=(*first, *own.children, *last), copies=copies))
    return branch("mtp", Node("layers", children=tuple(layers)))


def nemotron_h(c: Config) -> Model:
    """Nemotron-H and Nemotron 3: every layer is one norm and one of Mamba-2, attention, MLP, experts."""
    width = c.int("hidden_size")
    types = pattern(c, ("layers_block_type", "layer_types"), "hybrid_override_pattern", [LINEAR, MOE, FULL, MLP])
    c.ignore(
        "num_hidden_layers", "attention_head_dim", "time_step_rank", "attention_bias", "sliding_window", *NEMOTRON_KEYS
    )
    norm = Norm(width)
    mixers = nemotron_mixers(c, width, types)
    layers = [block(leaf("norm", norm, place="pre"), mixers[kind], width=width, residuals=1) for kind in types]
    model = assembled(c, width, layers, "norm_f", embed="embeddings")
    return replace(model, mtp=nemotron_mtp(c, width))


NEMOTRON_KEYS = (
    "intermediate_size", "mamba_num_heads", "mamba_head_dim", "n_groups", "ssm_state_size", "conv_kernel", "chunk_size",
    "num_attention_heads", "num_key_value_heads", "head_dim", "n_routed_experts", "moe_intermediate_size",
    "num_experts_per_tok", "moe_shared_expert_intermediate_size", "n_shared_experts", "moe_latent_size", "expand",
    "mlp_bias", "use_bias", "use_conv_bias",
)  # fmt: skip
"""Keys of kinds of layers that a pattern may not hold."""

FAMILIES = {
    "jamba": jamba, "bamba": bamba, "granitemoehybrid": granitemoehybrid, "falcon_h1": falcon_h1,
    "nemotron_h": nemotron_h,
}  # fmt: skip
