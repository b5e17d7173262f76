"""Decoders that are Llama but for biases, norms, windows or the form of the feed-forward block."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.layers import sandwich_layer
from flopsight.models.blocks.mlp import gated_mlp, plain_mlp
from flopsight.models.config import Config
from flopsight.models.families.dense import decoder, gqa, layered, typed_masks, window
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.differential import DifferentialCore
from flopsight.parts.linear import Buffer, Linear, Parameter
from flopsight.parts.masks import Causal, Mask
from flopsight.parts.norm import Norm
from flopsight.parts.vector import rope


def biased(c: Config, key: str = "attention_bias") -> tuple[bool, bool, bool, bool]:
    """The same answer for query, key, value and output."""
    return (c.flag(key, default=False),) * 4


def gated(c: Config, width: int, *, bias: bool = False) -> Node:
    """The gated feed-forward block."""
    return gated_mlp(width, c.int("intermediate_size"), bias=bias, activate=c.word("hidden_act", default="silu"))


def plain(c: Config, width: int, usual: str, names: tuple[str, str] = ("up_proj", "down_proj"), *, bias: bool) -> Node:
    """The feed-forward block of two matrices; `usual` is the activation of a silent file."""
    activate = c.word("hidden_act", default=usual)
    return plain_mlp(width, c.int("intermediate_size"), bias=bias, names=names, activate=activate)


def uniform(c: Config, attention: Attention, ffn: Node, norm: Norm) -> Model:
    """The usual layer, the same one everywhere."""
    return decoder(c, [pre_norm_layer(norm, attention.node(), ffn)] * c.layers(), norm)


def granite(c: Config) -> Model:
    """Granite 3: Llama with multipliers."""
    width = c.int("hidden_size")
    ffn = gated(c, width, bias=c.flag("mlp_bias", default=False))
    return uniform(c, gqa(c, width, biases=biased(c)), ffn, Norm(width))


def helium(c: Config) -> Model:
    """Helium: Llama whose output projection has no bias even if the others do."""
    width = c.int("hidden_size")
    mixer = gqa(c, width, biases=(*biased(c)[:3], False))
    if mixer.heads * mixer.key_width != width:
        raise c.fail("head_dim", mixer.key_width, f"the width {width:,} divided by the heads")
    return uniform(c, mixer, gated(c, width, bias=c.flag("mlp_bias", default=False)), Norm(width))


def seed_oss(c: Config) -> Model:
    """Seed-OSS: a bias of its own for the output projection."""
    width = c.int("hidden_size")
    biases = (*biased(c)[:3], c.flag("attention_out_bias", default=False))
    return uniform(
        c, gqa(c, width, biases=biases), gated(c, width, bias=c.flag("mlp_bias", default=False)), Norm(width)
    )


def ernie4_5(c: Config) -> Model:
    """ERNIE 4.5, dense: one key for all biases."""
    width, bias = c.int("hidden_size"), c.flag("use_bias", default=False)
    return uniform(c, gqa(c, width, biases=(bias,) * 4), gated(c, width, bias=bias), Norm(width))


def hunyuan_dense(c: Config) -> Model:
    """Hunyuan dense: norms over each head of query and key."""
    width = c.int("hidden_size")
    mixer = gqa(c, width, biases=biased(c), qk_norm="head", norms=("query_layernorm", "key_layernorm"))
    return uniform(c, mixer, gated(c, width), Norm(width))


def smollm3(c: Config) -> Model:
    """SmolLM3: every fourth layer without rotary positions, and with the window if the config uses one."""
    width, count, norm = c.int("hidden_size"), c.layers(), Norm(c.int("hidden_size"))
    step = c.int("no_rope_layer_interval", default=4)
    turned = c.ints("no_rope_layers") or tuple(int((i + 1) % step != 0) for i in range(count))
    if len(turned) != count:
        raise c.fail("no_rope_layers", list(turned), f"a list of {count} values")
    c.ignore("sliding_window")
    on = c.flag("use_sliding_window", default=False)
    masks = typed_masks(c, lambda i: not turned[i]) if on else [Causal()] * count
    ffn = gated(c, width, bias=c.flag("mlp_bias", default=False))

    def layer(mask: Mask, rotates: int) -> Node:
        mixer = gqa(c, width, mask, biases=biased(c))
        return pre_norm_layer(norm, (mixer if rotates else replace(mixer, rotary=0)).node(), ffn)

    pairs = list(zip(masks, turned, strict=True))
    made = {pair: layer(*pair) for pair in dict.fromkeys(pairs)}
    return decoder(c, [made[pair] for pair in pairs], norm)


def cwm(c: Config) -> Model:
    """CWM: a window on three layers of four, the first of each four sees everything."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    ffn = gated(c, width, bias=c.flag("mlp_bias", default=False))
    masks = typed_masks(c, lambda i: bool(i % 4))
    return decoder(c, layered(masks, lambda mask: pre_norm_layer(norm, gqa(c, width, mask).node(), ffn)), norm)


def granite_swa(c: Config) -> Model:
    """Granite with windows on three layers of four and a learned sink for each head."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    ffn = gated(c, width, bias=c.flag("mlp_bias", default=False))
    c.ignore("layer_rope_theta")

    def layer(mask: Mask) -> Node:
        mixer = gqa(c, width, mask, biases=biased(c))
        sinks = leaf("sinks", Parameter("attention", (mixer.heads,), mixer.heads))
        return pre_norm_layer(norm, mixer.node("self_attn", sinks), ffn)

    return decoder(c, layered(typed_masks(c, lambda i: bool(i % 4)), layer), norm)


def hyperclovax(c: Config) -> Model:
    """HyperCLOVA X: a norm after each block as well, unless the config says no."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    ffn = gated(c, width, bias=c.flag("mlp_bias", default=False))
    mixer = gqa(c, width, biases=biased(c))
    if not c.flag("use_post_norm", default=True):
        return uniform(c, mixer, ffn, norm)
    names = ("input_layernorm", "post_norm1", "post_attention_layernorm", "post_norm2")
    return decoder(c, [sandwich_layer(norm, mixer.node(), ffn, names)] * c.layers(), norm)


def glm(c: Config) -> Model:
    """GLM-4: gate and up in one matrix, query, key and value with biases, half of each head rotates."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    return decoder(c, [pre_norm_layer(norm, _glm_mixer(c, width), _glm_ffn(c, width))] * c.layers(), norm)


def glm4(c: Config) -> Model:
    """GLM-4-0414: GLM with norms after each block as well."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    names = ("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm")
    layer = sandwich_layer(norm, _glm_mixer(c, width), _glm_ffn(c, width), names)
    return decoder(c, [layer] * c.layers(), norm)


def _glm_mixer(c: Config, width: int) -> Node:
    bias = c.flag("attention_bias", default=True)
    return gqa(c, width, share=0.5, biases=(bias, bias, bias, False)).node()


def _glm_ffn(c: Config, width: int) -> Node:
    activate = c.word("hidden_act", default="silu")
    return gated_mlp(width, c.int("intermediate_size"), fused="gate_up_proj", activate=activate)


def starcoder2(c: Config) -> Model:
    """StarCoder2: LayerNorms, a two-matrix feed-forward block, biases everywhere, a window in most sizes."""
    width, bias = c.int("hidden_size"), c.flag("use_bias", default=True)
    ffn = plain(c, width, "gelu_pytorch_tanh", ("c_fc", "c_proj"), bias=bias)
    return uniform(c, gqa(c, width, window(c), biases=(bias,) * 4), ffn, Norm(width, "layer", bias=True))


def nemotron(c: Config) -> Model:
    """Nemotron-4 and Minitron: LayerNorms, squared ReLU, half of each head rotates."""
    width = c.int("hidden_size")
    ffn = plain(c, width, "relu2", bias=c.flag("mlp_bias", default=False))
    return uniform(c, gqa(c, width, share=0.5, biases=biased(c)), ffn, Norm(width, "layer", bias=True))


def jais2(c: Config) -> Model:
    """Jais 2: LayerNorms, squared ReLU, biases everywhere."""
    width = c.int("hidden_size")
    ffn = plain(c, width, "relu2", bias=c.flag("mlp_bias", default=True))
    return uniform(c, gqa(c, width, biases=biased(c)), ffn, Norm(width, "layer", bias=True))


def arcee(c: Config) -> Model:
    """Arcee AFM: Llama with squared ReLU and no gate."""
    width = c.int("hidden_size")
    ffn = plain(c, width, "relu2", bias=c.flag("mlp_bias", default=False))
    return uniform(c, gqa(c, width, biases=biased(c)), ffn, Norm(width))


def nanochat(c: Config) -> Model:
    """nanochat: norms without weights, one of them behind the embedding, squared ReLU."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"), weight=False)
    mixer = gqa(c, width, biases=biased(c), qk_norm="head", norm_weight=False)
    layer = pre_norm_layer(norm, mixer.node(), plain(c, width, "relu2", ("fc1", "fc2"), bias=False))
    before = (leaf("embed_norm", norm, place="embedding"),)
    return decoder(c, [layer] * c.layers(), norm, before=before)


def apertus(c: Config) -> Model:
    """Apertus: an activation with two learned numbers a layer, norms over each head of query and key."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    ffn = plain(c, width, "xielu", bias=False)
    if c.word("hidden_act", default="xielu") == "xielu":
        ffn = replace(ffn, children=(*ffn.children, _xielu()))
    mixer = gqa(c, width, biases=biased(c), qk_norm="head").node()
    layer = pre_norm_layer(norm, mixer, ffn, ("attention_layernorm", "feedforward_layernorm"))
    return decoder(c, [layer] * c.layers(), norm)


def _xielu() -> Node:
    learned = [leaf(name, Parameter("mlp", (1,))) for name in ("alpha_p", "alpha_n")]
    fixed = [leaf(name, Buffer("mlp", ())) for name in ("beta", "eps")]
    return branch("act_fn", *learned, *fixed)


def bitnet(c: Config) -> Model:
    """BitNet b1.58: Llama with a norm inside each block, before its last matrix."""
    width, inner = c.int("hidden_size"), c.int("intermediate_size")
    mixer = gqa(c, width, biases=biased(c))
    if mixer.heads * mixer.key_width != width:
        raise c.fail("head_dim", mixer.key_width, f"the width {width:,} divided by the heads")
    attention = mixer.node("self_attn", leaf("attn_sub_norm", Norm(width), place="inner"))
    ffn = gated_mlp(width, inner, activate=c.word("hidden_act", default="relu2"))
    ffn = replace(ffn, children=(*ffn.children, leaf("ffn_sub_norm", Norm(inner), place="inner")))
    return decoder(c, [pre_norm_layer(Norm(width), attention, ffn)] * c.layers(), Norm(width))


def diffllama(c: Config) -> Model:
    """Diff-Llama: the difference of two attention maps, balanced by four learned vectors a layer."""
    width = c.int("hidden_size")
    plan = gqa(c, width, biases=biased(c))
    if plan.kv_heads % 2:
        raise c.fail("num_key_value_heads", plan.kv_heads, "an even number")
    e, h, k, bias = plan.key_width, plan.heads, plan.kv_heads, plan.biases[0]
    names = ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")
    mixer = branch(
        "self_attn",
        leaf("q_proj", Linear("attention", width, h * e, bias)),
        leaf("k_proj", Linear("attention", width, k * e, bias)),
        leaf("v_proj", Linear("attention", width, k * e, bias)),
        leaf("rope", rope(h + k, e)),
        leaf("core", DifferentialCore(h, e, k)),
        *(leaf(name, Parameter("attention", (e,))) for name in names),
        leaf("groupnorm", Norm(2 * e, weight=False, copies=h // 2), place="inner"),
        leaf("o_proj", Linear("attention", h * e, width, bias)),
    )
    layer = pre_norm_layer(Norm(width), mixer, gated(c, width))
    return decoder(c, [layer] * c.layers(), Norm(width))


FAMILIES = {
    "granite": granite, "helium": helium, "seed_oss": seed_oss, "ernie4_5": ernie4_5,
    "hunyuan_v1_dense": hunyuan_dense, "smollm3": smollm3, "cwm": cwm, "granite_swa": granite_swa,
    "hyperclovax": hyperclovax, "glm": glm, "glm4": glm4, "starcoder2": starcoder2, "nemotron": nemotron,
    "jais2": jais2, "arcee": arcee, "nanochat": nanochat, "apertus": apertus, "bitnet": bitnet, "diffllama": diffllama,
}  # fmt: skip
