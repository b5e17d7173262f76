"""Decoders with attention and feed-forward block behind the same norm: Cohere, Phi, StableLM; and Phi-3."""

from __future__ import annotations

from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.layers import parallel_layer
from flopsight.models.blocks.mlp import gated_mlp, plain_mlp
from flopsight.models.config import Config
from flopsight.models.families.dense import decoder, divided, every, gqa, layered, typed_masks, window
from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.masks import Causal, Mask
from flopsight.parts.norm import Norm


def gated(c: Config, width: int) -> Node:
    """The gated feed-forward block."""
    return gated_mlp(width, c.int("intermediate_size"), activate=c.word("hidden_act", default="silu"))


def cohere(c: Config) -> Model:
    """Command R and Aya 23; Command R+ has a norm of its own for each head of query and key."""
    qk_norm = "heads" if c.flag("use_qk_norm", default=False) else ""
    return _cohere(c, [Causal()] * c.layers(), qk_norm)


def cohere2(c: Config) -> Model:
    """Command R7B and A: a window on three layers of four."""
    return _cohere(c, typed_masks(c, every(c, "sliding_window_pattern", 4)), "")


def _cohere(c: Config, masks: list[Mask], qk_norm: str) -> Model:
    width = c.int("hidden_size")
    norm, ffn = Norm(width, "layer"), gated(c, width)
    bias = c.flag("attention_bias", default=False)

    def layer(mask: Mask) -> Node:
        mixer = gqa(c, width, mask, biases=(bias,) * 4, qk_norm=qk_norm, norm_form="layer")
        return parallel_layer(norm, mixer.node(), ffn)

    return decoder(c, layered(masks, layer), norm)


def phi(c: Config) -> Model:
    """Phi-1 to Phi-2: biases everywhere, the head's too; optional LayerNorms over each head of query and key."""
    width = c.int("hidden_size")
    norm = Norm(width, "layer", bias=True)
    mixer = gqa(
        c, width, share=0.5, biases=(True,) * 4, names=("q_proj", "k_proj", "v_proj", "dense"), norm_form="layer",
        qk_norm="head" if c.flag("qk_layernorm", default=False) else "", norm_bias=True,
        norms=("q_layernorm", "k_layernorm"),
    )  # fmt: skip
    ffn = plain_mlp(width, c.int("intermediate_size"), activate=c.word("hidden_act", default="gelu_new"))
    layer = parallel_layer(norm, mixer.node(), ffn)
    return decoder(c, [layer] * c.layers(), norm, norm_name="final_layernorm", head_bias=True)


def phi3(c: Config) -> Model:
    """Phi-3 and Phi-4: one matrix for query, key and value, one for gate and up; a window in some sizes."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    mixer = gqa(c, width, window(c), fused="qkv_proj")
    c.ignore("full_attn_mod", "interpolate_factor")
    ffn = gated_mlp(
        width, c.int("intermediate_size"), fused="gate_up_proj", activate=c.word("hidden_act", default="silu")
    )
    return decoder(c, [pre_norm_layer(norm, mixer.node(), ffn)] * c.layers(), norm)


def stablelm(c: Config) -> Model:
    """StableLM 3B to 12B: LayerNorms; in the 12B, blocks in parallel and a LayerNorm for every single head."""
    width = c.int("hidden_size")
    heads, e = divided(c, width)
    norm, ffn = Norm(width, "layer", bias=True), gated(c, width)
    bias = c.flag("use_qkv_bias", default=False)
    mixer = gqa(c, width, share=0.25, even=True, biases=(bias, bias, bias, False))
    extra: tuple[Node, ...] = ()
    if c.flag("qk_layernorm", default=False):
        extra = (_norm_per_head("q_layernorm", heads, e), _norm_per_head("k_layernorm", mixer.kv_heads, e))
    attention = mixer.node("self_attn", *extra)
    beside = c.flag("use_parallel_residual", default=False)
    layer = parallel_layer(norm, attention, ffn) if beside else pre_norm_layer(norm, attention, ffn)
    return decoder(c, [layer] * c.layers(), norm)


def _norm_per_head(name: str, heads: int, width: int) -> Node:
    one = leaf("", Norm(width, "layer"), place="qk")
    return branch(name, stack("norms", [one] * heads))


FAMILIES = {
    "cohere": cohere, "cohere2": cohere2, "phi": phi, "phi3": phi3, "phi4": phi3, "stablelm": stablelm,
    "stablelm_epoch": stablelm,
}  # fmt: skip
