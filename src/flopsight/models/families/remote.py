"""Dense decoders whose code lives beside their checkpoints, so that the framework has no class of theirs.

Names and shapes are those of the published checkpoints.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, pre_norm_layer
from flopsight.models.blocks.layers import parallel_layer
from flopsight.models.blocks.mlp import gated_mlp, moe, plain_mlp
from flopsight.models.blocks.routed import routed
from flopsight.models.config import Config
from flopsight.models.families.dense import decoder, divided, gqa, mha, rotary
from flopsight.models.families.llama import layer_masks
from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.masks import Causal
from flopsight.parts.norm import Norm
from flopsight.parts.vector import softmax


def untied(c: Config) -> bool:
    """Whether head and embedding are one, where a silent file means that they are not."""
    return c.flag("tie_word_embeddings", default=False)


def gated(c: Config, width: int, name: str = "mlp", *, bias: bool = False, **layout: Any) -> Node:
    """The gated feed-forward block from the usual keys."""
    activate = c.word("hidden_act", "activation_function", default="silu")
    return gated_mlp(width, c.int("intermediate_size"), name, bias=bias, activate=activate, **layout)


def same_layers(c: Config, mixer: Node, ffn: Node, norm: Norm) -> Model:
    """Llama's names around one kind of layer."""
    return decoder(c, [pre_norm_layer(norm, mixer, ffn)] * c.layers(), norm, tied=untied(c))


def llama_copy(c: Config) -> Model:
    """Yi, Aquila and other files of Llama's own shape under another name."""
    width = c.int("hidden_size")
    bias = c.flag("attention_bias", default=False)
    mixer = gqa(c, width, biases=(bias,) * 4).node()
    return same_layers(c, mixer, gated(c, width, bias=c.flag("mlp_bias", default=False)), Norm(width))


def internlm(c: Config) -> Model:
    """InternLM 1: Llama with biases on all four projections of the attention."""
    width, bias = c.int("hidden_size"), c.flag("bias", default=True)
    return same_layers(c, gqa(c, width, biases=(bias,) * 4).node(), gated(c, width), Norm(width))


def internlm2(c: Config) -> Model:
    """InternLM 2: one matrix for query, key and value, and names of its own."""
    width, norm, bias = c.int("hidden_size"), Norm(c.int("hidden_size")), c.flag("bias", default=False)
    mixer = gqa(c, width, biases=(bias,) * 4, fused="wqkv", names=("", "", "", "wo")).node("attention")
    layer = pre_norm_layer(
        norm, mixer, gated(c, width, "feed_forward", names=("w1", "w3", "w2")), ("attention_norm", "ffn_norm")
    )
    return decoder(
        c, [layer] * c.layers(), norm, tied=untied(c), embed="tok_embeddings", head="output"
    )  # fmt: skip


def orion(c: Config) -> Model:
    """Orion: Llama with LayerNorms."""
    width, bias = c.int("hidden_size"), c.flag("attention_bias", default=False)
    norm = Norm(width, "layer", bias=True)
    return same_layers(c, gqa(c, width, biases=(bias,) * 4).node(), gated(c, width), norm)


def baichuan(c: Config) -> Model:
    """Baichuan 1 and 2: Llama with one matrix for query, key and value."""
    width = c.int("hidden_size")
    mixer = mha(c, width, fused="W_pack", rotary=divided(c, width)[1])
    return same_layers(c, mixer.node(), gated(c, width), Norm(width))


def minicpm(c: Config) -> Model:
    """MiniCPM: Llama with multipliers, tied unless the file says otherwise."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    bias = c.flag("attention_bias", default=False)
    ffn = gated(c, width)
    if c.maybe("num_experts", least=0):
        ffn = moe(routed(c, width, c.int("intermediate_size")))
    layer = pre_norm_layer(norm, gqa(c, width, biases=(bias,) * 4).node(), ffn)
    unknown = []
    if c.get("sparse_config", default=None):
        unknown.append("sparse_config: block-sparse attention is counted as dense")
    return decoder(c, [layer] * c.layers(), norm, tied=c.tied(), unknown=tuple(unknown))


def mimo(c: Config) -> Model:
    """MiMo 7B: Qwen2 with layers beside it that predict tokens further ahead."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    bias = c.flag("attention_bias", default=True)
    ffn = gated(c, width)
    made = {
        mask: pre_norm_layer(norm, gqa(c, width, mask, biases=(bias, bias, bias, False)).node(), ffn)
        for mask in layer_masks(c)
    }
    layers = [made[mask] for mask in layer_masks(c)]
    ahead = c.maybe("num_nextn_predict_layers", least=0) or 0
    model = decoder(c, layers, norm, tied=untied(c))
    return replace(model, mtp=_ahead(layers[0], norm, ahead) if ahead else None)


def _ahead(layer: Node, norm: Norm, count: int) -> Node:
    """A layer, norms of the token and of the stream, and the projection of the two side by side."""
    width = norm.width
    around = [leaf(name, norm, place="mtp") for name in ("token_layernorm", "hidden_layernorm", "final_layernorm")]
    one = branch("", *around, leaf("input_proj", Linear("other", 2 * width, width)), *layer.children)
    return branch("model", stack("mtp_layers", [one] * count))


def qwen(c: Config) -> Model:
    """Qwen 1: biases on query, key and value; the inner width of the file is that of gate and up together."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    heads = c.int("num_attention_heads")
    e = c.maybe("kv_channels") or divided(c, width)[1]
    both = c.int("intermediate_size")
    if both % 2:
        raise c.fail("intermediate_size", both, "an even number: the width of gate and up together")
    bias = not c.flag("no_bias", default=True)
    mixer = Attention(
        width, heads, heads, e, biases=(True, True, True, bias), fused="c_attn", names=("", "", "", "c_proj"),
        rotary=rotary(c, e),
    )  # fmt: skip
    ffn = gated_mlp(width, both // 2, bias=bias, names=("w2", "w1", "c_proj"))
    layer = pre_norm_layer(norm, mixer.node("attn"), ffn, ("ln_1", "ln_2"))
    return decoder(
        c, [layer] * c.layers(), norm, tied=untied(c), prefix="transformer", embed="wte", stack_name="h",
        norm_name="ln_f",
    )  # fmt: skip


def exaone(c: Config) -> Model:
    """EXAONE 3 and 3.5: Llama under GPT-2's names."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    inside = gqa(c, width, names=("q_proj", "k_proj", "v_proj", "out_proj")).node("attention")
    ffn = gated(c, width, names=("c_fc_0", "c_fc_1", "c_proj"))
    layer = pre_norm_layer(norm, branch("attn", inside), ffn, ("ln_1", "ln_2"))
    return decoder(
        c, [layer] * c.layers("num_layers", "num_hidden_layers"), norm, prefix="transformer", embed="wte",
        stack_name="h", norm_name="ln_f",
    )  # fmt: skip


def mobilellm(c: Config) -> Model:
    """MobileLLM: Llama, shared embedding and, in some sizes, every layer run twice."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    bias = c.flag("attention_bias", default=False)
    layer = pre_norm_layer(norm, gqa(c, width, biases=(bias,) * 4).node(), gated(c, width))
    twice = 2 if c.flag("layer_sharing", default=False) else 1
    tied = c.flag("share_embedding", "tie_word_embeddings", default=False)
    return decoder(c, [replace(layer, runs=twice)] * c.layers(), norm, tied=tied)


def phi_msft(c: Config) -> Model:
    """Phi-1 to Phi-2 under their first names."""
    width, heads = c.int("n_embd"), c.int("n_head")
    if width % heads:
        raise c.fail("n_head", heads, f"a divisor of the width {width:,}")
    e, norm, biased = width // heads, Norm(width, "layer", bias=True), (True,) * 4
    kv = c.kv_heads(heads, "n_head_kv")
    mixer = Attention(
        width, heads, kv, e, biases=biased, fused="Wqkv", names=("", "", "", "out_proj"),
        rotary=c.maybe("rotary_dim", least=0) or 0,
    )  # fmt: skip
    c.ignore("n_positions")
    ffn = plain_mlp(width, c.maybe("n_inner") or 4 * width, activate=c.word("activation_function", default="gelu_new"))
    layers = stack("h", [parallel_layer(norm, mixer.node("mixer"), ffn, "ln")] * c.layers("n_layer"))
    vocab, tied = c.int("vocab_size"), c.flag("tie_word_embeddings", default=False)
    body = branch("transformer", leaf("embd.wte", Embedding(vocab, width)), layers)
    head = leaf("linear", Linear("lm_head", width, vocab, bias=True, tied=tied), stream="scored")
    top = branch("lm_head", leaf("ln", norm, place="final"), head)
    sampler = leaf("sampler", softmax(vocab), stream="scored")
    return Model("", c.model_type, branch("", body, top, sampler), tied=tied)


def phi3small(c: Config) -> Model:
    """Phi-3 small: LayerNorms and biases everywhere, block-sparse attention in some layers."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"), "layer", bias=True)
    mixer = gqa(c, width, biases=(True,) * 4, fused="query_key_value", names=("", "", "", "dense"))
    ffn = gated_mlp(
        width, c.int("ff_intermediate_size"), bias=True, fused="up_proj", names=("", "", "down_proj"), activate="gelu"
    )
    sparse = ("blocksparse_block_size", "blocksparse_num_local_blocks", "blocksparse_vert_stride")
    c.ignore(*sparse, "blocksparse_triton_kernel_block_size", "blocksparse_homo_head_pattern", "gegelu_limit")
    c.ignore("gegelu_pad_to_256", "pad_sequence_to_multiple_of_64")
    dense = c.maybe("dense_attention_every_n_layers", least=0)
    unknown = () if dense == 1 else ("blocksparse_*: block-sparse attention is counted as dense",)
    layers = [pre_norm_layer(norm, mixer.node(), ffn)] * c.layers()
    return decoder(c, layers, norm, tied=c.tied(), norm_name="final_layernorm", unknown=unknown)


# ------------------------------------------------------------ ChatGLM


def chatglm(c: Config) -> Model:
    """ChatGLM 2 and 3 and GLM-4 under their first name; ChatGLM 1 is told by its `inner_hidden_size`."""
    return _chatglm1(c) if c.has("inner_hidden_size") else _chatglm2(c)


def _chatglm2(c: Config) -> Model:
    width, heads = c.int("hidden_size"), c.int("num_attention_heads")
    e = c.maybe("kv_channels") or divided(c, width)[1]
    kv = c.kv_heads(heads, "multi_query_group_num") if c.flag("multi_query_attention", default=False) else heads
    bias = c.flag("add_bias_linear", default=False)
    qkv = bias or c.flag("add_qkv_bias", default=False)
    norm = Norm(width) if c.flag("rmsnorm", default=True) else Norm(width, "layer", bias=True)
    mixer = Attention(
        width, heads, kv, e, biases=(qkv, qkv, qkv, bias), fused="query_key_value", names=("", "", "", "dense"),
        rotary=e // 2,
    )  # fmt: skip
    ffn = gated_mlp(width, c.int("ffn_hidden_size"), bias=bias, fused="dense_h_to_4h", names=("", "", "dense_4h_to_h"))
    layers = [pre_norm_layer(norm, mixer.node("self_attention"), ffn)] * c.layers("num_layers", "num_hidden_layers")
    final = c.flag("post_layer_norm", default=True)
    return _glm_model(c, layers, norm if final else None, width)


def _glm_model(c: Config, layers: list[Node], norm: Norm | None, width: int) -> Model:
    vocab, tied = c.int("padded_vocab_size", "vocab_size"), c.flag("tie_word_embeddings", default=False)
    c.ignore("vocab_size", "interleaved_qkv")
    table = leaf("embedding.word_embeddings", Embedding(vocab, width))
    final = leaf("final_layernorm", norm, place="final") if norm else None
    head = Linear("lm_head", width, vocab, c.flag("add_bias_linear", default=False), tied=tied)
    encoder = branch("encoder", stack("layers", layers), final)
    body = branch("transformer", table, encoder, leaf("output_layer", head, stream="scored"))
    sampler = leaf("sampler", softmax(vocab), stream="scored")
    return Model("", c.model_type, branch("", body, sampler), tied=tied, unknown=_prefix(c))


def _chatglm1(c: Config) -> Model:
    """ChatGLM 6B: LayerNorms and biases everywhere; its text sees itself both ways, which is counted as causal."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"), "layer", bias=True)
    mixer = mha(
        c, width, biases=(True,) * 4, fused="query_key_value", names=("", "", "", "dense"), rotary=divided(c, width)[1]
    )
    ffn = plain_mlp(width, c.int("inner_hidden_size"), names=("dense_h_to_4h", "dense_4h_to_h"))
    layer = pre_norm_layer(norm, mixer.node("attention"), ffn)
    c.ignore("position_encoding_2d", "quantization_bit", "prefix_projection")
    return decoder(
        c, [layer] * c.layers("num_layers"), norm, tied=c.tied(), prefix="transformer", embed="word_embeddings",
        norm_name="final_layernorm", unknown=_prefix(c),
        notes=("the prompt attends to itself in both directions; counted as causal",),
    )  # fmt: skip


def _prefix(c: Config) -> tuple[str, ...]:
    if c.maybe("pre_seq_len", least=0):
        return ("pre_seq_len: the learned prefix of prompt tuning is not counted",)
    return ()


# ------------------------------------------------------------ layers of different sizes


def nemotron_nas(c: Config) -> Model:
    """Llama-Nemotron: each layer's attention and feed-forward block of its own size, replaced by a matrix, or gone."""
    width = c.int("hidden_size")
    blocks = c.list("block_configs")
    count = c.layers()
    if blocks is None or len(blocks) != count:
        raise c.fail("block_configs", blocks if blocks is None else len(blocks), f"a list of {count} objects")
    c.ignore("num_key_value_heads", "intermediate_size")
    made: list[Node] = []
    for index, one in enumerate(blocks):
        if not isinstance(one, dict):
            raise c.fail(f"block_configs[{index}]", one, "an object")
        made.append(_searched_layer(c, Config(one, "", c.where, parent=f"block_configs[{index}]"), width))
    return decoder(c, made, Norm(width), tied=untied(c))


def _searched_layer(c: Config, one: Config, width: int) -> Node:
    attention, ffn = one.sub("attention"), one.sub("ffn")
    parts: list[Node | None] = []
    if not attention.flag("no_op", default=False):
        parts += [leaf("input_layernorm", Norm(width), place="pre"), _searched_attention(c, attention, width)]
    if not ffn.flag("no_op", default=False):
        parts += [leaf("post_attention_layernorm", Norm(width), place="pre"), _searched_ffn(c, ffn, width)]
    return block(*parts, width=width, residuals=len(parts) // 2)


def _searched_attention(c: Config, section: Config, width: int) -> Node:
    if section.flag("replace_with_linear", default=False):
        return branch("self_attn", leaf("linear_attn", Linear("attention", width, width)))
    heads, e = divided(c, width)
    group = section.int("n_heads_in_group", most=heads)
    if heads % group:
        raise section.fail("n_heads_in_group", group, f"a divisor of the {heads} heads")
    bias = c.flag("attention_bias", default=False)
    return Attention(width, heads, heads // group, e, biases=(bias,) * 4, rotary=e, mask=_sinks(section)).node()


def _sinks(section: Config) -> Causal:
    """No published checkpoint has windows or sinks; a file that asks for them is refused."""
    for key in ("window_length", "num_sink_tokens"):
        if section.maybe(key, least=0):
            raise section.fail(key, section.get(key), "null: attention sinks are not counted")
    return Causal()


def _searched_ffn(c: Config, section: Config, width: int) -> Node:
    if section.flag("replace_with_linear", default=False):
        return branch("mlp", leaf("linear_mlp", Linear("mlp", width, width)))
    inner = int(2 * section.number("ffn_mult") * width / 3)
    # the published code rounds up to a multiple of 256
    inner = -(-inner // 256) * 256
    bias = c.flag("mlp_bias", default=False)
    return gated_mlp(width, inner, bias=bias, activate=c.word("hidden_act", default="silu"))


def deci(c: Config) -> Model:
    """DeciLM 6B and 7B: Llama whose layers differ in their number of key-value heads."""
    width, norm, count = c.int("hidden_size"), Norm(c.int("hidden_size")), c.layers()
    heads, e = divided(c, width)
    groups = c.ints("num_key_value_heads_per_layer", least=1)
    if groups is None or len(groups) != count or any(heads % g for g in groups):
        raise c.fail("num_key_value_heads_per_layer", groups, f"{count} divisors of the {heads} heads")
    ffn = gated(c, width)
    c.ignore("num_key_value_heads")
    made = {g: pre_norm_layer(norm, Attention(width, heads, g, e, rotary=e).node(), ffn) for g in set(groups)}
    return decoder(c, [made[g] for g in groups], norm, tied=untied(c))


def openelm(c: Config) -> Model:
    """OpenELM: heads and inner widths that grow with depth, norms over each head of query and key."""
    width, count = c.int("model_dim"), c.layers("num_transformer_layers")
    e, norm = c.int("head_dim"), Norm(c.int("model_dim"))
    qk_norm = "head" if c.flag("normalize_qk_projections", default=True) else ""
    c.ignore("num_gqa_groups", "qkv_multipliers", "max_context_length")

    def layer(heads: int, kv_heads: int, ffn: Node) -> Node:
        mixer = Attention(
            width, heads, kv_heads, e, fused="qkv_proj", names=("", "", "", "out_proj"), qk_norm=qk_norm, rotary=e
        )
        return pre_norm_layer(norm, mixer.node("attn"), ffn, ("attn_norm", "ffn_norm"))

    ffns = _openelm_ffns(c, width, count)
    layers = [layer(*heads, ffn) for heads, ffn in zip(_openelm_heads(c, count), ffns, strict=True)]
    return decoder(
        c, layers, norm, tied=c.flag("share_input_output_layers", default=True), prefix="transformer",
        embed="token_embeddings",
    )  # fmt: skip


def _openelm_heads(c: Config, count: int) -> list[tuple[int, int]]:
    """Query and key-value heads of each layer."""
    queries = c.ints("num_query_heads", least=1) or ()
    pairs = list(zip(queries, c.ints("num_kv_heads", least=1) or (), strict=False))
    if len(pairs) != count or len(queries) != count or any(q % k for q, k in pairs):
        raise c.fail("num_query_heads", queries, f"{count} multiples of num_kv_heads")
    return pairs


def _openelm_ffns(c: Config, width: int, count: int) -> list[Node]:
    shares = c.list("ffn_multipliers")
    if shares is None or len(shares) != count:
        raise c.fail("ffn_multipliers", shares, f"a list of {count} numbers")
    divisor, gate = c.int("ffn_dim_divisor", default=256), c.flag("ffn_with_glu", default=True)
    activate = c.word("activation_fn_name", default="silu")
    found = []
    for index in range(count):
        one = Config({"share": shares[index]}, "", c.where, parent=f"ffn_multipliers[{index}]")
        inner = _divisible(one.number("share") * width, divisor)
        if gate:
            found.append(gated_mlp(width, inner, "ffn", fused="proj_1", names=("", "", "proj_2"), activate=activate))
        else:
            names = ("proj_1", "proj_2")
            found.append(plain_mlp(width, inner, "ffn", bias=False, names=names, activate=activate))
    return found


def _divisible(value: float, divisor: int) -> int:
    """The nearest multiple of `divisor`, the next one where that loses more than a tenth."""
    near = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * value else near


FAMILIES = {
    "Yi": llama_copy, "aquila": llama_copy, "xverse": llama_copy, "skywork": llama_copy, "open_llama": llama_copy,
    "internlm": internlm, "internlm2": internlm2, "baichuan": baichuan, "minicpm": minicpm, "mimo": mimo, "qwen": qwen,
    "exaone": exaone, "chatglm": chatglm, "nemotron-nas": nemotron_nas, "deci": deci,
    "openelm": openelm, "orion": orion, "mobilellm": mobilellm,
    "phi-msft": phi_msft, "phi3small": phi3small,
}  # fmt: skip
