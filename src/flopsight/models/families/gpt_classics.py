"""The decoders between GPT-1 and Llama: LayerNorm, two-matrix feed-forward blocks, positions of every kind."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

from flopsight.models.blocks.decoder import block, pre_norm_layer
from flopsight.models.blocks.layers import parallel_layer
from flopsight.models.blocks.mlp import plain_mlp
from flopsight.models.config import Config
from flopsight.models.families.dense import cross_attention, decoder, layered, mha, rotary
from flopsight.models.families.gpt2 import gpt2
from flopsight.models.tree import Model, Node, leaf
from flopsight.parts.linear import Embedding, Linear, Parameter
from flopsight.parts.masks import Causal, Mask, Window
from flopsight.parts.norm import Norm

BIASED = (True, True, True, True)
SPLIT = ("q_proj", "k_proj", "v_proj", "out_proj")


def layer_norm(width: int) -> Norm:
    """LayerNorm with weight and bias."""
    return Norm(width, "layer", bias=True)


def inner_width(c: Config, width: int, key: str = "n_inner") -> int:
    """The inner width, four times the width where the key is null."""
    return c.maybe(key) or 4 * width


def activate(c: Config, key: str = "activation_function") -> str:
    """The activation's name in the config."""
    return c.word(key, default="gelu")


def positions(c: Config, name: str, width: int, extra: int = 0) -> Node:
    """A table of learned positions, with `extra` rows in front of them."""
    return leaf(name, Embedding(c.int("max_position_embeddings") + extra, width))


def opt(c: Config) -> Model:
    """OPT: two extra position rows; the 350m model embeds narrower than it computes and norms after each block."""
    width = c.int("hidden_size")
    narrow = c.maybe("word_embed_proj_dim") or width
    bias, affine = c.flag("enable_bias", default=True), c.flag("layer_norm_elementwise_affine", default=True)
    norm = Norm(width, "layer", affine, affine)
    before = c.flag("do_layer_norm_before", default=True)
    final = before and not c.flag("_remove_final_layer_norm", default=False)
    mixer = mha(c, width, biases=(bias,) * 4, names=SPLIT).node()
    ffn = plain_mlp(width, c.int("ffn_dim"), "", bias=bias, activate=activate(c))
    names = ("self_attn_layer_norm", "final_layer_norm")
    if before:
        layer = pre_norm_layer(norm, mixer, ffn, names)
    else:
        norms = [leaf(name, norm, place="post") for name in names]
        layer = block(mixer, norms[0], ffn, norms[1], width=width)
    return decoder(
        c, [layer] * c.layers(), norm if final else None, width=narrow, prefix="model.decoder",
        norm_name="final_layer_norm",
        before=(*_projection("project_in", narrow, width), positions(c, "embed_positions", width, 2)),
        after=_projection("project_out", width, narrow),
    )  # fmt: skip


def _projection(name: str, inputs: int, outputs: int) -> tuple[Node, ...]:
    return () if inputs == outputs else (leaf(name, Linear("other", inputs, outputs)),)


def bloom(c: Config) -> Model:
    """Bloom: alibi, a norm on the embeddings, one matrix for query, key and value."""
    width = c.int("n_embed", "hidden_size")
    norm = layer_norm(width)
    mixer = mha(c, width, biases=BIASED, fused="query_key_value", names=("", "", "", "dense"))
    ffn = plain_mlp(width, 4 * width, names=("dense_h_to_4h", "dense_4h_to_h"))
    layer = pre_norm_layer(norm, mixer.node("self_attention"), ffn)
    return decoder(
        c, [layer] * c.layers(), norm, prefix="transformer", embed="word_embeddings", stack_name="h", norm_name="ln_f",
        before=(leaf("word_embeddings_layernorm", norm, place="embedding"),),
    )  # fmt: skip


def gptj(c: Config) -> Model:
    """GPT-J: attention and feed-forward block side by side behind one norm; a head with bias."""
    return _side_by_side(c, names=SPLIT)


def codegen(c: Config) -> Model:
    """CodeGen: GPT-J with one matrix for query, key and value."""
    return _side_by_side(c, fused="qkv_proj", names=SPLIT)


def _side_by_side(c: Config, **layout: Any) -> Model:
    width = c.int("hidden_size")
    c.ignore("n_positions")
    mixer = mha(c, width, rotary=c.maybe("rotary_dim", least=0) or 0, **layout).node("attn")
    ffn = plain_mlp(width, inner_width(c, width), names=("fc_in", "fc_out"), activate=activate(c))
    layer = parallel_layer(layer_norm(width), mixer, ffn, "ln_1")
    return decoder(
        c, [layer] * c.layers(), layer_norm(width), prefix="transformer", embed="wte", stack_name="h", norm_name="ln_f",
        head_bias=True,
    )  # fmt: skip


def gpt_neo(c: Config) -> Model:
    """GPT-Neo: global and local (windowed) attention by turns, learned positions."""
    width, norm = c.int("hidden_size"), layer_norm(c.int("hidden_size"))
    ffn = plain_mlp(width, inner_width(c, width, "intermediate_size"), names=("c_fc", "c_proj"), activate=activate(c))
    local = Window(c.int("window_size", default=256))

    def layer(mask: Mask) -> Node:
        inside = mha(c, width, mask, biases=(False, False, False, True), names=SPLIT).node("attention")
        return pre_norm_layer(norm, Node("attn", children=(inside,)), ffn, ("ln_1", "ln_2"))

    masks = [local if kind == "local" else Causal() for kind in _attention_kinds(c, c.layers())]
    return decoder(
        c, layered(masks, layer), norm, prefix="transformer", embed="wte", stack_name="h", norm_name="ln_f",
        before=(positions(c, "wpe", width),),
    )  # fmt: skip


def _attention_kinds(c: Config, count: int) -> list[str]:
    """`attention_types` such as [[["global", "local"], 12]], written out."""
    given = c.get("attention_types", default=None)
    given = [[["global", "local"], 12]] if given is None else given
    listed = c.words("attention_layers")
    try:
        written = (kind for kinds, times in given for _ in range(times) for kind in kinds)
        kinds = list(listed or islice(written, count + 1))
    except (TypeError, ValueError):
        raise c.fail("attention_types", given, "a list of [[kinds], times]") from None
    if len(kinds) != count or any(kind not in ("global", "local") for kind in kinds):
        raise c.fail("attention_types", given, f'"global" or "local" for each of {count} layers')
    return kinds


def gpt_neox(c: Config) -> Model:
    """GPT-NeoX and Pythia: two norms, in parallel or one after the other, an untied head."""
    width, norm = c.int("hidden_size"), layer_norm(c.int("hidden_size"))
    c.ignore("use_parallel_residual")
    bias = c.flag("attention_bias", default=True)
    e = _neox_rotary(c, width, 0.25)
    mixer = mha(c, width, biases=(bias,) * 4, fused="query_key_value", names=("", "", "", "dense"), rotary=e)
    ffn = plain_mlp(
        width, c.int("intermediate_size"), names=("dense_h_to_4h", "dense_4h_to_h"), activate=activate(c, "hidden_act")
    )
    layer = pre_norm_layer(norm, mixer.node("attention"), ffn)
    return decoder(
        c, [layer] * c.layers(), norm, prefix="gpt_neox", embed="embed_in", norm_name="final_layer_norm"
    )  # fmt: skip


def _neox_rotary(c: Config, width: int, share: float) -> int:
    return rotary(c, width // c.int("num_attention_heads"), share)


def gpt_neox_japanese(c: Config) -> Model:
    """GPT-NeoX without biases but for one, on the output of the last layer's attention."""
    width, norm = c.int("hidden_size"), layer_norm(c.int("hidden_size"))
    mixer = mha(
        c, width, fused="query_key_value", names=("", "", "", "dense"), rotary=_neox_rotary(c, width, 1.0)
    )  # fmt: skip
    inner = width * c.int("intermediate_multiple_size")
    ffn = plain_mlp(
        width, inner, bias=False, names=("dense_h_to_4h", "dense_4h_to_h"), activate=activate(c, "hidden_act")
    )
    last = leaf("dense_bias", Parameter("attention", (width,), width))
    layers = [pre_norm_layer(norm, mixer.node("attention"), ffn)] * (c.layers() - 1)
    return decoder(
        c, [*layers, pre_norm_layer(norm, mixer.node("attention", last), ffn)], norm, prefix="gpt_neox_japanese",
        embed="embed_in", norm_name="final_layer_norm", head="embed_out",
    )  # fmt: skip


def gpt_bigcode(c: Config) -> Model:
    """SantaCoder and StarCoder: GPT-2 with one key-value head, matrices stored output first."""
    width = c.int("hidden_size")
    mixer = mha(c, width, biases=BIASED, fused="c_attn", names=("", "", "", "c_proj"))
    if c.flag("multi_query", default=True):
        mixer = replace(mixer, kv_heads=1)
    ffn = plain_mlp(width, inner_width(c, width), names=("c_fc", "c_proj"), activate=activate(c))
    norm = layer_norm(width)
    layer = pre_norm_layer(norm, mixer.node("attn"), ffn, ("ln_1", "ln_2"))
    return decoder(
        c, [layer] * c.layers(), norm, prefix="transformer", embed="wte", stack_name="h", norm_name="ln_f",
        before=(positions(c, "wpe", width),), unknown=cross_attention(c),
    )  # fmt: skip


def mpt(c: Config) -> Model:
    """MPT: alibi, no biases anywhere, norms without bias."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"), "layer")
    mixer = mha(c, width, fused="Wqkv", names=("", "", "", "out_proj")).node("attn")
    ffn = plain_mlp(width, 4 * width, "ffn", bias=False, names=("up_proj", "down_proj"))
    layer = pre_norm_layer(norm, mixer, ffn, ("norm_1", "norm_2"))
    return decoder(
        c, [layer] * c.layers(), norm, prefix="transformer", embed="wte", stack_name="blocks", norm_name="norm_f",
        unknown=_mpt_unknown(c),
    )  # fmt: skip


def _mpt_unknown(c: Config) -> tuple[str, ...]:
    """Options of the original code that the framework's class does not build."""
    section = c.sub("attn_config")
    strange = {
        "expansion_ratio": c.get("expansion_ratio", default=4) not in (4, None),
        "no_bias": not c.flag("no_bias", default=True),
        "attn_config.attn_type": section.get("attn_type", default=None) not in (None, "multihead_attention"),
        "attn_config.qk_ln": section.flag("qk_ln", default=False),
        "attn_config.alibi": not section.flag("alibi", default=True),
    }
    c.ignore("learned_pos_emb", "init_config")
    section.ignore("alibi_bias_max")
    return tuple(
        f"{key} is set to what the framework's class does not build; it was not counted"
        for key, on in strange.items()
        if on
    )


def xglm(c: Config) -> Model:
    """XGLM: computed positions, biases everywhere."""
    width = c.int("hidden_size")
    layer = _fairseq_layer(c, width, c.int("ffn_dim"), activate(c))
    return decoder(
        c, [layer] * c.layers(), layer_norm(width), norm_name="layer_norm", unknown=cross_attention(c)
    )  # fmt: skip


def biogpt(c: Config) -> Model:
    """BioGPT: learned positions with two extra rows, biases everywhere."""
    width = c.int("hidden_size")
    layer = _fairseq_layer(c, width, c.int("intermediate_size"), activate(c, "hidden_act"))
    return decoder(
        c, [layer] * c.layers(), layer_norm(width), prefix="biogpt", norm_name="layer_norm", head="output_projection",
        before=(positions(c, "embed_positions", width, 2),),
    )  # fmt: skip


def _fairseq_layer(c: Config, width: int, inner: int, activation: str) -> Node:
    mixer = mha(c, width, biases=BIASED, names=SPLIT).node()
    names = ("self_attn_layer_norm", "final_layer_norm")
    return pre_norm_layer(layer_norm(width), mixer, plain_mlp(width, inner, "", activate=activation), names)


def openai_gpt(c: Config) -> Model:
    """GPT-1: norms after each block, none at the end, matrices stored input first."""
    width = c.int("hidden_size")
    mixer = mha(c, width, biases=BIASED, fused="c_attn", names=("", "", "", "c_proj"), transposed=True).node("attn")
    ffn = plain_mlp(width, 4 * width, names=("c_fc", "c_proj"), transposed=True, activate=activate(c, "afn"))
    norms = [leaf(name, layer_norm(width), place="post") for name in ("ln_1", "ln_2")]
    layer = block(mixer, norms[0], ffn, norms[1], width=width)
    return decoder(
        c, [layer] * c.layers(), None, width=width, prefix="transformer", embed="tokens_embed", stack_name="h",
        before=(positions(c, "positions_embed", width),),
    )  # fmt: skip


def ctrl(c: Config) -> Model:
    """CTRL: computed positions, a tied head with its own bias."""
    c.ignore("n_positions")
    width, norm = c.int("hidden_size"), layer_norm(c.int("hidden_size"))
    mixer = mha(c, width, biases=BIASED, names=("Wq", "Wk", "Wv", "dense")).node("multi_head_attention")
    ffn = plain_mlp(width, c.int("dff"), "ffn", names=("0", "2"), activate="relu")
    layer = pre_norm_layer(norm, mixer, ffn, ("layernorm1", "layernorm2"))
    return decoder(
        c, [layer] * c.layers(), norm, prefix="transformer", embed="w", stack_name="h", norm_name="layernorm",
        head_bias=True,
    )  # fmt: skip


def persimmon(c: Config) -> Model:
    """Persimmon: one matrix for query, key and value, LayerNorms over each head of query and key, squared ReLU."""
    width, norm = c.int("hidden_size"), layer_norm(c.int("hidden_size"))
    mixer = mha(
        c, width, biases=BIASED, fused="query_key_value", names=("", "", "", "dense"), norm_form="layer",
        qk_norm="head" if c.flag("qk_layernorm", default=True) else "", norm_bias=True,
        norms=("q_layernorm", "k_layernorm"), rotary=_neox_rotary(c, width, 0.5),
    )  # fmt: skip
    ffn = plain_mlp(
        width, c.int("intermediate_size"), names=("dense_h_to_4h", "dense_4h_to_h"), activate=activate(c, "hidden_act")
    )
    return decoder(
        c, [pre_norm_layer(norm, mixer.node(), ffn)] * c.layers(), norm, norm_name="final_layernorm"
    )  # fmt: skip


FAMILIES = {
    "opt": opt, "bloom": bloom, "gptj": gptj, "codegen": codegen, "gpt_neo": gpt_neo, "gpt_neox": gpt_neox,
    "gpt_neox_japanese": gpt_neox_japanese, "gpt_bigcode": gpt_bigcode, "mpt": mpt, "xglm": xglm, "biogpt": biogpt,
    "openai-gpt": openai_gpt, "ctrl": ctrl, "persimmon": persimmon, "gpt-sw3": gpt2,
}  # fmt: skip
