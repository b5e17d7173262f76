"""Decoders around other recurrences: RecurrentGemma, LFM2 and LFM3's short convolutions, RWKV, xLSTM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, causal_lm, pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.blocks.recurrent import (
    FULL,
    LINEAR,
    MIXER,
    SLIDING,
    WORDS,
    kinds,
    linear,
    short_conv,
    vector,
)  # fmt: skip
from flopsight.models.blocks.routed import alternate, correction, gqa, lm, routed, window_size
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.blocklinear import BlockLinear
from flopsight.parts.linear import Parameter
from flopsight.parts.masks import Causal, Window
from flopsight.parts.norm import Norm
from flopsight.parts.rglru import RgLru
from flopsight.parts.rwkv import TokenShift, Wkv4, Wkv5
from flopsight.parts.vector import activation
from flopsight.parts.xlstm import MatrixLstm

# ------------------------------------------------------------------ RecurrentGemma


def recurrent_block(c: Config, width: int) -> Node:
    """Two branches of `lru_width` channels: one convolved and recurrent, one an activation, multiplied."""
    inner, heads = c.maybe("lru_width") or width, c.int("num_attention_heads")
    if inner % heads:
        raise c.fail("lru_width", inner, f"a multiple of the {heads} heads")
    each = inner // heads
    unit = branch(
        "rg_lru",
        vector("recurrent_param", inner),
        leaf("input_gate_weight", BlockLinear(MIXER, heads, each, each)),
        leaf("input_gate_bias", Parameter(MIXER, (heads, each), inner)),
        leaf("recurrent_gate_weight", BlockLinear(MIXER, heads, each, each)),
        leaf("recurrent_gate_bias", Parameter(MIXER, (heads, each), inner)),
        leaf("recurrence", RgLru(inner)),
    )
    return branch(
        "temporal_block",
        linear("linear_y", width, inner, bias=True),
        linear("linear_x", width, inner, bias=True),
        linear("linear_out", inner, width, bias=True),
        leaf("conv_1d", short_conv(inner, c.int("conv1d_width"), bias=True)),
        unit,
        leaf("gate", activation("gelu_tanh", inner, gated=True)),
    )


def local_attention(c: Config, width: int) -> Node:
    """Attention over a window, with a bias on its output."""
    heads = c.heads(width)
    e = width // heads
    if not e or width % heads:
        raise c.fail("num_attention_heads", heads, f"a divisor of the width {width:,}")
    biased = c.flag("attention_bias", default=False)
    mask = Window(c.int("attention_window_size", "sliding_window"))
    c.ignore("head_dim")
    return Attention(
        width, heads, c.kv_heads(heads), e, biases=(biased, biased, biased, True), rotary=e // 2, mask=mask,
    ).node("temporal_block")  # fmt: skip


def recurrent_gemma(c: Config) -> Model:
    """RecurrentGemma: two recurrent layers for each of local attention; the MLP is half `intermediate_size` wide."""
    width, count = c.int("hidden_size"), c.layers()
    pattern = kinds(c, ("block_types",), 0, WORDS | {"recurrent": LINEAR}, (LINEAR, LINEAR, FULL))
    if not pattern:
        raise c.fail("block_types", [], "a list with at least one kind of layer")
    types = [pattern[i % len(pattern)] for i in range(count)]
    mixers = {LINEAR: recurrent_block(c, width), FULL: local_attention(c, width)}
    mlp = gated_mlp(
        width, c.int("intermediate_size", least=2) // 2, "mlp_block", bias=True,
        activate=c.word("hidden_activation", default="gelu_pytorch_tanh"),
    )  # fmt: skip
    c.ignore("layers_block_type", "_block_types")
    names = ("temporal_pre_norm", "channel_pre_norm")
    layers = [pre_norm_layer(Norm(width), mixers[kind], mlp, names) for kind in types]
    return lm(c, layers, width, norm_name="final_norm")


# ------------------------------------------------------------------ LFM

CONV = "conv"
LFM_WORDS = {FULL: FULL, CONV: CONV, "attention": FULL, "short_conv": CONV, SLIDING: SLIDING}
LFM_NAMES = ("operator_norm", "ffn_norm")


def gated_conv(c: Config, width: int) -> Node:
    """[d -> 3d], a product, a short convolution, another product, [d -> d]."""
    bias, taps = c.flag("conv_bias", default=False), c.int("conv_L_cache")
    return branch(
        "conv",
        linear("in_proj", width, 3 * width, bias=bias),
        leaf("conv", short_conv(width, taps, bias=bias)),
        leaf("gates", activation("identity", 2 * width, gated=True)),
        linear("out_proj", width, width, bias=bias),
    )


def lfm_attention(c: Config, width: int) -> Node:
    """Attention with a norm over each head of query and key."""
    attention = replace(
        gqa(c, width, bias=False, qk_norm="head"),
        names=("q_proj", "k_proj", "v_proj", "out_proj"), norms=("q_layernorm", "k_layernorm"),
    )  # fmt: skip
    return attention.node()


def lfm_kinds(c: Config) -> tuple[str, ...]:
    """`layer_types`, or attention in the layers `full_attn_idxs` names (all of them if it is silent)."""
    count = c.layers()
    listed = c.ints("full_attn_idxs")
    full = range(count) if listed is None else set(listed)
    return kinds(c, ("layer_types",), count, LFM_WORDS, [FULL if i in full else CONV for i in range(count)])


def lfm_mixers(c: Config, width: int) -> list[Node]:
    """Convolutions and attention by layer."""
    types = lfm_kinds(c)
    if SLIDING in types:
        raise c.fail("layer_types", SLIDING, f"a list of {CONV} and {FULL}")
    nodes = {kind: (gated_conv if kind == CONV else lfm_attention)(c, width) for kind in dict.fromkeys(types)}
    c.ignore("num_attention_heads", "num_key_value_heads", "conv_dim", "conv_dim_out", "conv_use_xavier_init")
    return [nodes[kind] for kind in types]


def lfm_mlp(width: int, inner: int) -> Node:
    """The gated MLP with LFM's names."""
    return gated_mlp(width, inner, "feed_forward", names=("w1", "w3", "w2"))


def adjusted_width(c: Config) -> int:
    """The MLP's width: two thirds of the config's, times a factor, rounded up to a multiple, unless switched off."""
    inner = c.int("block_ff_dim") if c.has("block_ff_dim") else c.int("intermediate_size")
    c.ignore("intermediate_size")
    factor, step = c.get("block_ffn_dim_multiplier", default=None), c.int("block_multiple_of")
    if not c.flag("block_auto_adjust_ff_dim", default=True):
        return inner
    inner = int(2 * inner / 3)
    inner = inner if factor is None else int(c.number("block_ffn_dim_multiplier") * inner)
    return -(-inner // step) * step


def lfm_model(c: Config, width: int, layers: Sequence[Node]) -> Model:
    """The decoder around `layers`; the older key `tie_embedding` wins."""
    tied = c.flag("tie_embedding", default=True) if c.has("tie_embedding") else c.tied()
    c.ignore("tie_word_embeddings", "block_dim", "block_use_swiglu", "block_mlp_init_scale", "block_out_init_scale")
    c.ignore("num_heads", "block_norm_eps")
    return causal_lm(
        layers, family=c.model_type, vocab=c.int("vocab_size"), width=width, tied=tied, norm=Norm(width),
        norm_name="embedding_norm",
    )  # fmt: skip


def lfm2(c: Config) -> Model:
    """LFM2: gated short convolutions and some attention."""
    width = c.int("hidden_size")
    mlp = lfm_mlp(width, adjusted_width(c))
    layers = [pre_norm_layer(Norm(width), mixer, mlp, LFM_NAMES) for mixer in lfm_mixers(c, width)]
    return lfm_model(c, width, layers)


def lfm2_moe(c: Config) -> Model:
    """LFM2 with experts after the first `num_dense_layers`; their correction bias is a buffer."""
    width, count = c.int("hidden_size"), c.layers()
    dense = c.int("num_dense_layers", least=0)
    experts = routed(c, width, c.int("moe_intermediate_size"))
    bias = (correction(experts.experts, "expert_bias"),) if c.flag("use_expert_bias", default=True) else ()
    ffns = alternate(
        [i >= dense for i in range(count)], moe(experts, name="feed_forward", extra=bias),
        lambda: lfm_mlp(width, c.int("intermediate_size")),
    )  # fmt: skip
    c.ignore("intermediate_size")
    pairs = zip(lfm_mixers(c, width), ffns, strict=True)
    return lfm_model(c, width, [pre_norm_layer(Norm(width), mixer, ffn, LFM_NAMES) for mixer, ffn in pairs])


def lfm3_attention(c: Config, width: int, kind: str) -> Node:
    """Attention over everything or over a window, with one gate a head."""
    size = window_size(c)
    attention = gqa(c, width, Window(size) if kind == SLIDING and size else Causal(), qk_norm="head")
    if not c.flag("use_attention_gate", default=True):
        return attention.node()
    inner = attention.heads * attention.key_width
    return attention.node(
        "self_attn",
        linear("g_proj", width, attention.heads, kind="attention"),
        leaf("gate", activation("sigmoid", inner, gated=True)),
    )


def lfm3(c: Config) -> Model:
    """LFM3: short convolutions, windows and full attention, with norms before and after each block."""
    width, count = c.int("hidden_size"), c.layers()
    default = [FULL if i % 4 == 2 else SLIDING if i % 4 == 0 and i else CONV for i in range(count)]
    types = kinds(c, ("layer_types",), count, LFM_WORDS, default)
    mixers = {k: gated_conv(c, width) if k == CONV else lfm3_attention(c, width, k) for k in dict.fromkeys(types)}
    c.ignore("num_attention_heads", "num_key_value_heads", "head_dim", "sliding_window", "conv_L_cache")
    norm, mlp, after = Norm(width), lfm_mlp(width, c.int("intermediate_size")), ()
    if c.flag("use_sandwich_norm", default=True):
        after = tuple(leaf(name, norm, place="sandwich") for name in ("post_operator_norm", "post_ffn_norm"))  # type: ignore[assignment]
    layers = []
    for kind in types:
        layer = pre_norm_layer(norm, mixers[kind], mlp, LFM_NAMES)
        layers.append(replace(layer, children=(*layer.children, *after)))
    return lfm_model(c, width, layers)


# ------------------------------------------------------------------ RWKV


def shifted(name: str, width: int, mixes: Sequence[str], kind: str, *children: Node) -> Node:
    """A block that mixes each token with the one before it, under learned weights, and then runs `children`."""
    return branch(
        name,
        *(leaf(f"time_mix_{mix}", Parameter(kind, (1, 1, width))) for mix in mixes),
        leaf("token_shift", TokenShift(width, len(mixes), kind)),
        *children,
    )


def channel_mixing(width: int, inner: int) -> Node:
    """RWKV's feed-forward block: two matrices with a squared rectifier, and a gate."""
    return shifted(
        "feed_forward", width, ("key", "receptance"), "mlp",
        linear("key", width, inner, kind="mlp"),
        leaf("act", activation("relu2", inner)),
        linear("receptance", width, width, kind="mlp"),
        linear("value", inner, width, kind="mlp"),
        leaf("gate", activation("sigmoid", width, gated=True)),
    )  # fmt: skip


def rwkv_model(c: Config, width: int, mixing: Node, inner: int, notes: tuple[str, ...] = ()) -> Model:
    """Blocks of time mixing and channel mixing; the first has one more norm."""
    norm = Norm(width, "layer", bias=True)
    layer = pre_norm_layer(norm, mixing, channel_mixing(width, inner), ("ln1", "ln2"))
    first = replace(layer, children=(leaf("pre_ln", norm, place="pre"), *layer.children))
    return causal_lm(
        [first] + [layer] * (c.layers() - 1), family=c.model_type, vocab=c.int("vocab_size"), width=width,
        tied=c.tied(), norm=norm, prefix="rwkv", embed="embeddings", stack_name="blocks", norm_name="ln_out",
        head="head", notes=notes,
    )  # fmt: skip


def rwkv(c: Config) -> Model:
    """RWKV-4."""
    width = c.int("hidden_size")
    inner = c.maybe("attention_hidden_size") or width
    mixing = shifted(
        "attention", width, ("key", "value", "receptance"), "attention",
        vector("time_decay", inner, kind="attention"),
        vector("time_first", inner, kind="attention"),
        *(linear(name, width, inner, kind="attention") for name in ("key", "value", "receptance")),
        leaf("wkv", Wkv4(inner)),
        leaf("gate", activation("sigmoid", inner, gated=True)),
        linear("output", inner, width, kind="attention"),
    )  # fmt: skip
    return rwkv_model(c, width, mixing, c.maybe("intermediate_size") or 4 * width)


def rwkv5(c: Config) -> Model:
    """RWKV-5.2 (Eagle), from its published code: a matrix state a head, an output gate and a norm over each head."""
    width = c.int("hidden_size")
    inner = c.maybe("attention_hidden_size") or width
    each = c.int("head_size", "num_attention_heads", default=64)
    if inner % each:
        raise c.fail("head_size", each, f"a divisor of the {inner} values of attention")
    heads = inner // each
    mixing = shifted(
        "attention", width, ("gate", "key", "value", "receptance"), "attention",
        vector("time_decay", heads, each, kind="attention"),
        vector("time_faaaa", heads, each, kind="attention"),
        *(linear(name, width, inner, kind="attention") for name in ("key", "value", "receptance", "gate")),
        leaf("wkv", Wkv5(heads, each)),
        leaf("ln_x", Norm(inner, "layer", bias=True), place="inner"),
        leaf("gate_act", activation("silu", inner, gated=True)),
        linear("output", inner, width, kind="attention"),
    )  # fmt: skip
    ffn = c.maybe("intermediate_size") or int(width * 3.5) // 32 * 32
    note = "Counted after the published RWKV-5 code: transformers has no class for it."
    if c.tied():
        note += " The config ties the head to the embedding; checkpoints of this series store both."
    return rwkv_model(c, width, mixing, ffn, (note,))


# ------------------------------------------------------------------ xLSTM


def rounded(c: Config, width: int, factor: str, multiple: int) -> int:
    """The width times a factor, rounded up to a multiple."""
    wide = int(c.number(factor) * width)
    if not 1 <= wide <= 2**40:
        raise c.fail(factor, c.get(factor), "a factor that leaves a width from 1 to 2^40")
    return -(-wide // multiple) * multiple


def xlstm_layer(c: Config, width: int, fused: bool) -> Node:
    """The matrix LSTM with its projections and gates."""
    heads, bias = c.int("num_heads"), c.flag("use_bias", default=False)
    k, v = rounded(c, width, "qk_dim_factor", 1), rounded(c, width, "v_dim_factor", 1)
    if k % heads or v % heads:
        raise c.fail("num_heads", heads, f"a divisor of the {k} query and {v} value channels")
    single = [linear(n, width, s, bias=bias) for n, s in (("q", k), ("k", k), ("v", v), ("ogate_preact", v))]
    single += [linear(name, width, heads, bias=True) for name in ("igate_preact", "fgate_preact")]
    joined = [
        linear("qkv_opreact", width, 2 * k + 2 * v, bias=bias), linear("ifgate_preact", width, 2 * heads, bias=True),
    ]  # fmt: skip
    return branch(
        "mlstm_layer",
        *(joined if fused else single),
        leaf("mlstm", MatrixLstm(heads, k // heads, v // heads, c.int("chunk_size"))),
        leaf("multihead_norm", Norm(v, "layer", bias=bias, kind=MIXER), place="inner"),
        leaf("gate", activation("sigmoid", v, gated=True)),
        linear("out_proj", v, width, bias=bias),
    )


def xlstm_ffn(c: Config, width: int, fused: bool) -> Node:
    """The gated MLP, its width rounded up to a multiple."""
    inner = rounded(c, width, "ffn_proj_factor", c.int("ffn_round_up_to_multiple_of"))
    bias = c.flag("use_bias", default=False)
    names = ("proj_up_gate", "proj_up", "proj_down")
    return gated_mlp(width, inner, "ffn", bias=bias, names=names, fused="proj_up_gate_z" if fused else "")


def xlstm(c: Config) -> Model:
    """xLSTM-7B: matrix LSTM and gated MLP; `weight_mode` "fused" joins projections."""
    width = c.int("hidden_size", "embedding_dim")
    mode = c.word("weight_mode", default="single")
    if mode not in ("single", "fused"):
        raise c.fail("weight_mode", mode, "single or fused")
    fused, norm = mode == "fused", Norm(width, bias=c.flag("use_bias", default=False))
    c.ignore("embedding_dim", "add_out_norm", "max_inference_chunksize", "return_last_states", "num_blocks")
    c.ignore("num_hidden_layers", "norm_reduction_force_float32", "mode")
    layer = block(
        leaf("norm_mlstm", norm, place="pre"), xlstm_layer(c, width, fused),
        leaf("norm_ffn", norm, place="pre"), xlstm_ffn(c, width, fused), width=width,
    )  # fmt: skip
    return causal_lm(
        [layer] * c.layers("num_blocks", "num_hidden_layers"), family=c.model_type, vocab=c.int("vocab_size"),
        width=width, tied=c.tied(), norm=Norm(width), prefix="backbone", embed="embeddings", stack_name="blocks",
        norm_name="out_norm",
    )  # fmt: skip


FAMILIES = {
    "recurrent_gemma": recurrent_gemma, "lfm2": lfm2, "lfm2_moe": lfm2_moe, "lfm3": lfm3, "rwkv": rwkv, "rwkv5": rwkv5,
    "xlstm": xlstm,
}  # fmt: skip
