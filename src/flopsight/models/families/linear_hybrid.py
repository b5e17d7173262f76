"""Decoders that mix linear attention with softmax attention: Qwen3-Next and 3.5, MiniMax, Kimi Linear, OLMo hybrids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.layers import post_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.blocks.recurrent import (
    FULL,
    LINEAR,
    WORDS,
    delta_net,
    gated_norm,
    kinds,
    linear,
    short_conv,
    vector,
)  # fmt: skip
from flopsight.models.blocks.routed import alternate, correction, gqa, lm, mtp_count, routed, shared, sparse_layers
from flopsight.models.config import Config
from flopsight.models.families.deepseek import latent_attention
from flopsight.models.families.qwen_moe import dense_mlp, gated_share, sparse, stepped_layers
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.gated_delta import GatedDelta
from flopsight.parts.lightning import LightningCore
from flopsight.parts.linear import Buffer, Embedding, Linear
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation

Made = Mapping[str, Callable[[], Node]]


def chosen(types: Sequence[str], made: Made) -> list[Node]:
    """The mixer of every layer, each kind made once and only if it occurs."""
    nodes = {kind: made[kind]() for kind in dict.fromkeys(types)}
    return [nodes[kind] for kind in types]


# ------------------------------------------------------------------ Qwen3-Next and Qwen3.5


def periodic(c: Config, words: Mapping[str, str] = WORDS) -> tuple[str, ...]:
    """`layer_types`, or softmax attention in the last layer of every `full_attention_interval`."""
    count = c.layers()
    step = c.int("full_attention_interval", default=4)
    default = [LINEAR if (i + 1) % step else FULL for i in range(count)]
    return kinds(c, ("layer_types", "layers_block_type"), count, words, default)


def gated_attention(c: Config, width: int) -> Attention:
    """Attention whose query projection also makes a gate, with a norm over each head of query and key."""
    c.ignore("attn_output_gate")
    return replace(gqa(c, width, qk_norm="head"), gated=True)


def qwen_mixers(c: Config, width: int, form: str) -> list[Node]:
    """Gated delta nets and gated attention by layer."""
    made = {LINEAR: lambda: delta_net(c, width).node(form), FULL: lambda: gated_attention(c, width).node()}
    types = periodic(c)
    if LINEAR not in types:
        c.ignore(*(key for key in c.raw if key.startswith("linear_")))
    if FULL not in types:
        c.ignore("num_attention_heads", "num_key_value_heads", "head_dim", "attention_bias", "attn_output_gate")
    return chosen(types, made)


def qwen_sparse(c: Config, width: int) -> Node:
    """Routed experts beside a gated shared one."""
    return sparse(c, width, *gated_share(width, c.int("shared_expert_intermediate_size", least=0)))


def qwen_mtp(c: Config, width: int, ffn: Node) -> Node | None:
    """Layers that predict a further token: two norms and [2d -> d] once, layers of full attention, a norm."""
    count = mtp_count(c)
    if not count:
        return None
    norm, vocab = Norm(width), c.int("vocab_size")
    layer = pre_norm_layer(norm, gated_attention(c, width).node(), ffn)
    own = c.flag("mtp_use_dedicated_embeddings", default=False)
    return branch(
        "mtp",
        leaf("embed_tokens", Embedding(vocab, width, tied=not own)),
        leaf("pre_fc_norm_embedding", norm, place="pre"),
        leaf("pre_fc_norm_hidden", norm, place="pre"),
        linear("fc", 2 * width, width, kind="other"),
        Node("layers", children=(replace(layer, copies=tuple(range(count))),)),
        leaf("norm", norm, place="final"),
        leaf("head", Linear("lm_head", width, vocab, tied=True), stream="scored"),
    )


def qwen_layers(c: Config, form: str, flags: list[bool]) -> tuple[list[Node], Node | None]:
    """All layers, and those that predict further tokens; `flags` says which layers are routed."""
    width = c.int("hidden_size")
    routes = qwen_sparse(c, width) if any(flags) else dense_mlp(c, width)
    ffns = alternate(flags, routes, lambda: dense_mlp(c, width))
    c.ignore("intermediate_size")
    mixers = qwen_mixers(c, width, form)
    layers = [pre_norm_layer(Norm(width), m, f) for m, f in zip(mixers, ffns, strict=True)]
    return layers, qwen_mtp(c, width, ffns[-1])


def qwen_hybrid(c: Config, layers: list[Node], mtp: Node | None) -> Model:
    """The decoder around what `qwen_layers` made."""
    return replace(lm(c, layers, c.int("hidden_size")), mtp=mtp)


def qwen3_5_layers(c: Config) -> tuple[list[Node], Node | None]:
    """The layers of Qwen3.5's text decoder and its further-token layers, dense or routed by its model type."""
    moe_type = "moe" in c.model_type
    if moe_type:
        c.ignore("mlp_only_layers", "decoder_sparse_step")
    return qwen_layers(c, "joined", [moe_type] * c.layers())


def qwen3_next(c: Config) -> Model:
    """Qwen3-Next: gated delta nets with two fused input matrices, experts in every layer unless listed."""
    flags = stepped_layers(c) if c.int("num_experts", least=0) else [False] * c.layers()
    return qwen_hybrid(c, *qwen_layers(c, "fused", flags))


def qwen3_5_text(c: Config) -> Model:
    """Qwen3.5: gated delta nets with four input matrices, dense MLPs or, in the MoE type, experts in every layer."""
    return qwen_hybrid(c, *qwen3_5_layers(c))


# ------------------------------------------------------------------ MiniMax


def lightning(c: Config, width: int) -> Node:
    """Lightning attention: one matrix for query, key and value, a norm and a gate before the output."""
    heads = c.heads(width)
    e, size = c.head_dim(width, heads), c.int("block_size")
    inner = heads * e
    return branch(
        "self_attn",
        leaf("norm", Norm(inner), place="inner"),
        linear("qkv_proj", width, 3 * inner, kind="attention"),
        leaf("act", activation("silu", 3 * inner)),
        leaf("core", LightningCore(heads, e, size)),
        linear("output_gate", width, inner, kind="attention"),
        leaf("gate", activation("sigmoid", inner, gated=True)),
        linear("out_proj", inner, width, kind="attention"),
        leaf("slope_rate", Buffer("attention", (heads, 1, 1), 0)),
        leaf("query_decay", Buffer("attention", (heads, size, 1), 0)),
        leaf("key_decay", Buffer("attention", (heads, size, 1), 0)),
        leaf("diagonal_decay", Buffer("attention", (1, heads, size, size), 0)),
    )


def minimax_kinds(c: Config) -> tuple[str, ...]:
    """`layer_types`, the zeros and ones of `attn_type_list`, or both kinds in turn."""
    count = c.layers()
    flags = c.ints("attn_type_list")
    if flags is not None and len(flags) != count:
        raise c.fail("attn_type_list", list(flags), f"a list with one number for each of {count} layers")
    listed = [bool(f) for f in flags] if flags is not None else [not i % 2 for i in range(count)]
    return kinds(c, ("layer_types",), count, WORDS, [FULL if full else LINEAR for full in listed])


def minimax(c: Config) -> Model:
    """MiniMax-Text-01 and M1: lightning attention, softmax attention in one layer of eight, experts everywhere."""
    width = c.int("hidden_size")
    made = {LINEAR: lambda: lightning(c, width), FULL: lambda: gqa(c, width, bias=False).node()}
    ffn = moe(routed(c, width, c.int("intermediate_size"), count=("num_local_experts", "num_experts")))
    c.ignore("sliding_window", "shared_intermediate_size", "postnorm", "shared_moe_mode", "block_size")
    c.ignore("num_key_value_heads")
    mixers = chosen(minimax_kinds(c), made)
    return lm(c, [pre_norm_layer(Norm(width), m, ffn) for m in mixers], width)


def minimax_remote(c: Config) -> Model:
    """The original files of MiniMax-Text-01 and M1, whose class is not in transformers; their blocks are 256 long."""
    raw = {"block_size": 256, "num_local_experts": 32, "num_experts_per_tok": 2, **c.raw}
    inner = Config(raw, "minimax", c.where)
    model = minimax(inner)
    c.ignore(*inner.read)
    c.assumed.update(inner.assumed)
    return replace(model, family=c.model_type)


# ------------------------------------------------------------------ Kimi Linear, Ling hybrids


def channel_delta(width: int, heads: int, e: int, taps: int, gates: Sequence[Node], forget: Node) -> Node:
    """Kimi Delta Attention: separate query, key, value, one decay a channel, a sigmoid gate on the output."""
    inner = heads * e
    return branch(
        "self_attn",
        *(linear(name, width, inner) for name in ("q_proj", "k_proj", "v_proj")),
        leaf("conv1d", short_conv(3 * inner, taps)),
        leaf("act", activation("silu", 3 * inner)),
        forget,
        linear("b_proj", width, heads),
        leaf("delta", GatedDelta(heads, e, e, per_channel=True)),
        *gates,
        *gated_norm("o_norm", e, inner, copies=heads, act="sigmoid"),
        linear("o_proj", inner, width),
    )


def kimi_delta(c: Config, width: int, heads: int, e: int, taps: int) -> Node:
    """Kimi Linear's form: forget gate and output gate through a rank of one head width."""
    inner = heads * e
    forget = branch(
        "forget_gate",
        vector("dt_bias", inner),
        vector("A_log", 1, 1, heads, 1),
        linear("f_a_proj", width, e),
        linear("f_b_proj", e, inner),
    )
    return channel_delta(width, heads, e, taps, (linear("g_a_proj", width, e), linear("g_b_proj", e, inner)), forget)


def kimi_kinds(c: Config, listed: Config) -> tuple[str, ...]:
    """`layer_types`, the layers (from 1) that `linear_attn_config` lists, or attention in every fourth."""
    count = c.layers()
    full, linears = listed.ints("full_attn_layers"), listed.ints("kda_layers")
    default = [FULL if i and i % 4 == 0 else LINEAR for i in range(count)]
    if full is not None and linears is not None:
        if sorted((*full, *linears)) != list(range(1, count + 1)):
            raise listed.fail("kda_layers", list(linears), f"with full_attn_layers each of 1 to {count} once")
        default = [FULL if i + 1 in set(full) else LINEAR for i in range(count)]
    return kinds(c, ("layer_types",), count, WORDS, default)


def shared_experts(c: Config, width: int) -> Node:
    """Routed experts with a correction bias, and shared experts as one wider MLP."""
    inner = c.int("moe_intermediate_size")
    experts = routed(c, width, inner, count=("num_local_experts", "num_experts", "n_routed_experts"))
    beside = shared(width, (c.maybe("n_shared_experts", "num_shared_experts", least=0) or 0) * inner)
    return moe(experts, shared=beside, extra=(correction(experts.experts),))


def sparse_decoder(c: Config, width: int, mixers: list[Node], flags: list[bool]) -> Model:
    """Pre-norm layers, the first of them with a dense MLP."""
    plain = gated_mlp(width, c.int("intermediate_size"), activate=c.word("hidden_act", default="silu"))
    ffns = alternate(flags, shared_experts(c, width) if any(flags) else plain, lambda: plain)
    return lm(c, [pre_norm_layer(Norm(width), m, f) for m, f in zip(mixers, ffns, strict=True)], width)


def kimi_linear(c: Config) -> Model:
    """Kimi Linear: Kimi Delta Attention, latent attention in one layer of four, experts after the first layer."""
    width = c.int("hidden_size")
    listed = c.sub("linear_attn_config")
    heads = listed.maybe("num_heads") or c.int("linear_num_heads")
    e = listed.maybe("head_dim") or c.int("linear_head_dim")
    taps = listed.maybe("short_conv_kernel_size") or c.int("linear_conv_kernel_dim")
    made = {LINEAR: lambda: kimi_delta(c, width, heads, e, taps), FULL: lambda: latent_attention(c, width).node()}
    mixers = chosen(kimi_kinds(c, listed), made)
    c.ignore("head_dim", "num_key_value_heads", "mla_use_nope", "linear_head_dim", "linear_num_heads")
    c.ignore("linear_conv_kernel_dim", "moe_renormalize")
    model = sparse_decoder(c, width, mixers, sparse_layers(c, 1))
    return replace(model, notes=MTP_NOTE if mtp_count(c) else ())


MTP_NOTE = ("The layers that predict further tokens are not counted: their shape is not published.",)


def bailing_delta(c: Config, width: int) -> Node:
    """Kimi Delta Attention with full-rank gates."""
    heads = c.int("num_attention_heads")
    e = c.int("head_dim")
    inner = heads * e
    forget = branch("forget_gate", vector("A_log", heads), vector("dt_bias", inner), linear("f_proj", width, inner))
    gates = (linear("g_proj", width, inner),)
    return channel_delta(width, heads, e, c.int("short_conv_kernel_size"), gates, forget)


def bailing_attention(c: Config, width: int) -> Node:
    """Latent attention whose query is projected directly, and one gate a head."""
    attention = replace(latent_attention(c, width), q_rank=0)
    gate = linear("g_proj", width, attention.heads, kind="attention")
    act = leaf("gate", activation("sigmoid", attention.heads * attention.value_width, gated=True))
    return attention.node("self_attn", gate, act)


def bailing_hybrid(c: Config) -> Model:
    """Ling 2.5 hybrids: Kimi Delta Attention, latent attention in the last layer of every `layer_group_size`."""
    width, count, step = c.int("hidden_size"), c.layers(), c.int("layer_group_size")
    default = [LINEAR if (i + 1) % step else FULL for i in range(count)]
    types = kinds(c, ("layer_types",), count, WORDS, default)
    made = {LINEAR: lambda: bailing_delta(c, width), FULL: lambda: bailing_attention(c, width)}
    mixers = chosen(types, made)
    c.ignore("head_dim", "num_key_value_heads", "short_conv_kernel_size", "kda_safe_gate", "q_lora_rank")
    model = sparse_decoder(c, width, mixers, sparse_layers(c, 2))
    return replace(model, notes=MTP_NOTE if mtp_count(c) else ())


# ------------------------------------------------------------------ OLMo hybrids


def olmo_kinds(c: Config) -> tuple[str, ...]:
    """`layer_types`, or attention in the last layer of every four and at least in the last of all."""
    count = c.layers()
    default = [FULL if i % 4 == 3 else LINEAR for i in range(count)]
    if FULL not in default:
        default[-1] = FULL
    return kinds(c, ("layer_types",), count, WORDS, default)


def olmo_delta(c: Config, width: int) -> Node:
    """A gated delta net with six input matrices; head widths follow from the model's where they are null."""
    heads = c.int("num_attention_heads")
    keys = c.maybe("linear_num_key_heads") or heads
    e = c.maybe("linear_key_head_dim") or int(0.75 * width / keys)
    given = {
        "linear_num_key_heads": keys, "linear_num_value_heads": c.maybe("linear_num_value_heads") or heads,
        "linear_key_head_dim": e, "linear_value_head_dim": c.maybe("linear_value_head_dim") or 2 * e,
        "linear_conv_kernel_dim": c.int("linear_conv_kernel_dim"),
    }  # fmt: skip
    net = delta_net(Config(given, "", c.where), width)
    return net.node("apart", norm="o_norm", out="o_proj")


def olmo_hybrid(c: Config) -> Model:
    """OLMo hybrids: delta layers normed before, attention layers normed after."""
    width = c.int("hidden_size")
    c.ignore("linear_allow_neg_eigval")
    mlp = gated_mlp(width, c.int("intermediate_size"), activate=c.word("hidden_act", default="silu"))
    norm = Norm(width)
    made = {
        LINEAR: lambda: pre_norm_layer(norm, olmo_delta(c, width), mlp),
        FULL: lambda: post_norm_layer(norm, gqa(c, width, qk_norm="full").node(), mlp),
    }
    return lm(c, chosen(olmo_kinds(c), made), width)


FAMILIES = {
    "qwen3_next": qwen3_next, "qwen3_5_text": qwen3_5_text, "qwen3_5_moe_text": qwen3_5_text, "minimax": minimax,
    "minimax_text_01": minimax_remote, "minimax_m1": minimax_remote, "kimi_linear": kimi_linear,
    "olmo_hybrid": olmo_hybrid, "bailing_hybrid": bailing_hybrid,
}  # fmt: skip
