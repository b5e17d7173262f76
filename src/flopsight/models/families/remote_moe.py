"""Routed decoders that the framework has no class for: their own code, as published, is the source.

Experts are named as one stacked tensor where the checkpoints hold a tensor for each expert.
"""

from __future__ import annotations

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, causal_lm, pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.blocks.routed import (
    alternate,
    correction,
    gqa,
    lm,
    routed,
    shared,
    sparse_layers,
    with_mtp,
)  # fmt: skip
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, leaf
from flopsight.parts.norm import Norm

STACKED = "Checkpoints hold each expert's matrices separately; here they are stacked into one tensor."


def deepseek(c: Config) -> Model:
    """DeepSeekMoE: Llama's attention, one dense layer, then small experts with shared ones."""
    width, inner = c.int("hidden_size"), c.int("moe_intermediate_size")
    experts = routed(c, width, inner)
    beside = shared(width, (c.maybe("n_shared_experts", least=0) or 0) * inner)
    ffns = alternate(
        sparse_layers(c), moe(experts, shared=beside), lambda: gated_mlp(width, c.int("intermediate_size"))
    )
    mixer = gqa(c, width).node()
    return lm(c, [pre_norm_layer(Norm(width), mixer, f) for f in ffns], width, notes=(STACKED,))


def grok(c: Config) -> Model:
    """Grok-1: norms before and after attention and experts, tied head."""
    width = c.int("hidden_size")
    norm = Norm(width)
    experts = routed(c, width, c.int("intermediate_size"), count=("num_experts", "num_local_experts"))
    layer = block(
        leaf("pre_attn_norm", norm, place="pre"),
        gqa(c, width, bias=False).node("attn"),
        leaf("post_attn_norm", norm, place="post"),
        leaf("pre_moe_norm", norm, place="pre"),
        moe(experts, name="moe_block"),
        leaf("post_moe_norm", norm, place="post"),
        width=width,
    )
    c.ignore("max_attn_value")
    return lm(c, [layer] * c.layers(), width, notes=(STACKED,))


def arctic(c: Config) -> Model:
    """Arctic: where experts stand, a dense MLP of the model's width runs beside them behind its own norm."""
    width, inner = c.int("hidden_size"), c.int("intermediate_size")
    experts = routed(c, width, inner, count=("num_local_experts", "num_experts"))
    every = c.int("moe_layer_frequency", default=2)
    beside = c.flag("parallel_attn_mlp_res", default=False)
    c.ignore("moe_min_capacity", "moe_eval_capacity_factor", "moe_train_capacity_factor", "moe_token_dropping")
    c.ignore("enable_expert_tensor_parallelism", "quantization")
    mixer = gqa(c, width, bias=c.flag("attention_bias", default=False)).node()
    names = ("w1", "w3", "w2")
    dense = gated_mlp(width, inner, "block_sparse_moe.mlp", names=names)
    extra = (leaf("residual_layernorm", Norm(width), place="pre"), gated_mlp(width, width, "residual_mlp", names=names))
    sparse = moe(experts, name="block_sparse_moe")
    layers = [
        _arctic_layer(
            width, mixer, sparse if (i + 1) % every == 0 else dense, extra if beside and (i + 1) % every == 0 else ()
        )
        for i in range(c.layers())
    ]
    return lm(c, layers, width, notes=(STACKED,))


def _arctic_layer(width: int, mixer: Node, ffn: Node, extra: tuple[Node, ...]) -> Node:
    norm = Norm(width)
    return block(
        leaf("input_layernorm", norm, place="pre"), mixer, leaf("post_attention_layernorm", norm, place="pre"), ffn,
        *extra, width=width, residuals=3 if extra else 2,
    )  # fmt: skip


def bailing(c: Config, *, qk_norm: bool, corrected: bool) -> Model:
    """Ling and Ring: one matrix for query, key and value, experts with shared ones after the dense layers."""
    width, inner = c.int("hidden_size"), c.int("moe_intermediate_size")
    heads = c.heads(width)
    e = c.head_dim(width, heads)
    qkv, out = c.flag("use_qkv_bias", default=False), c.flag("use_bias", default=False)
    mixer = Attention(
        width, heads, c.kv_heads(heads), e, biases=(qkv, qkv, qkv, out), fused="query_key_value",
        names=("", "", "", "dense"), norms=("query_layernorm", "key_layernorm"),
        qk_norm="head" if qk_norm else "", rotary=e,
    )  # fmt: skip
    experts = routed(c, width, inner, count=("num_experts", "num_local_experts"))
    times = c.maybe("num_shared_experts", "n_shared_experts", least=0) or 0
    own = c.maybe("moe_shared_expert_intermediate_size") or inner
    extra = (correction(experts.experts, "gate.expert_bias"),) if corrected else ()
    if c.flag("use_sliding_window", default=False):
        raise c.fail("use_sliding_window", True, "false: windows are not known for this family")
    c.ignore("max_window_layers", "sliding_window", "norm_head", "moe_router_enable_expert_bias", "group_norm_size")
    ffn = moe(experts, shared=shared(width, times * own), extra=extra)
    ffns = alternate(sparse_layers(c), ffn, lambda: gated_mlp(width, c.int("intermediate_size")))
    layers = [pre_norm_layer(Norm(width), mixer.node("attention"), f) for f in ffns]
    model = causal_lm(
        layers, family=c.model_type, vocab=c.int("vocab_size"), width=width, tied=c.tied(), norm=Norm(width),
        embed="word_embeddings", notes=(STACKED,),
    )  # fmt: skip
    return with_mtp(c, model, layers[-1], width, last="final_layernorm")


def bailing_moe(c: Config) -> Model:
    """Ling-lite and Ling-plus."""
    return bailing(c, qk_norm=c.flag("use_qk_norm", default=False), corrected=False)


def bailing_moe_v2(c: Config) -> Model:
    """Ling 2.0: norms over each head of query and key, a correction on the experts' scores."""
    corrected = c.flag("moe_router_enable_expert_bias", default=True)
    return bailing(c, qk_norm=c.flag("use_qk_norm", default=True), corrected=corrected)


FAMILIES = {
    "deepseek": deepseek, "grok-1": grok, "arctic": arctic, "bailing_moe": bailing_moe,
    "bailing_moe_v2": bailing_moe_v2,
}  # fmt: skip
