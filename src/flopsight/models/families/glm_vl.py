"""GLM's models of text and pictures: 4.1V and 4.6V, dense and routed, and GLM-OCR."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.layers import sandwich_layer
from flopsight.models.blocks.merged_vision import Merging, any_size, patch_embed, tower_dims
from flopsight.models.blocks.mlp import act, gated_mlp
from flopsight.models.blocks.vision import pair
from flopsight.models.config import Config
from flopsight.models.families.composite import SEEN, compose, either_tied, merged, text_decoder
from flopsight.models.families.dense import decoder, gqa
from flopsight.models.families.glm_moe import glm4_moe
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.masks import Full
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation

NORMS = ("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm")


def glm4v_text(c: Config) -> Model:
    """GLM-4 with biases on query, key and value (GLM-OCR without), heads that always split the width."""
    width = c.int("hidden_size")
    biased = c.model_type != "glm_ocr_text"
    mixer = gqa(c, width, share=0.5, even=True, biases=(biased, biased, biased, False))
    given = c.maybe("head_dim")
    if given not in (None, mixer.key_width):
        raise c.fail("head_dim", given, f"absent or {mixer.key_width}: this family's heads split the width")
    activate = c.word("hidden_act", default="silu")
    ffn = gated_mlp(width, c.int("intermediate_size"), fused="gate_up_proj", activate=activate)
    c.ignore("attention_bias")
    norm = Norm(width)
    return decoder(c, [sandwich_layer(norm, mixer.node(), ffn, NORMS)] * c.layers(), norm)


def glm4v_moe_text(c: Config) -> Model:
    """GLM-4.5's routed decoder, always without norms of query and key."""
    c.ignore("use_qk_norm")
    inner = Config({k: v for k, v in c.raw.items() if k != "use_qk_norm"}, c.model_type, c.where, parent=c.parent)
    model = glm4_moe(inner)
    c.read |= inner.read
    c.assumed |= inner.assumed
    return model


TEXTS = {"glm4v_text": glm4v_text, "glm_ocr_text": glm4v_text, "glm4v_moe_text": glm4v_moe_text}


def merger(c: Config, width: int, inner: int) -> Node:
    """One matrix, a norm, a gated MLP, on the merged tokens."""
    gate = activation(act(c.word("hidden_act", default="silu")), inner, gated=True)
    return branch(
        "merger",
        leaf("proj", Linear("vision", width, width)),
        leaf("post_projection_norm", Norm(width, "layer", bias=True, kind="vision")),
        leaf("act1", activation("gelu", width)),
        leaf("gate_proj", Linear("vision", width, inner)),
        leaf("up_proj", Linear("vision", width, inner)),
        leaf("act_fn", gate),
        leaf("down_proj", Linear("vision", inner, width)),
        stream="vision_merged",
    )


def tower(c: Config) -> tuple[Node, Merging]:
    """RMSNorm, gated MLPs, a convolution that merges squares of patches; GLM-OCR adds biases and qk norms."""
    width, out, side = c.int("hidden_size"), c.int("out_hidden_size"), c.int("spatial_merge_size")
    ocr, biased = c.model_type == "glm_ocr_vision", c.flag("attention_bias", default=False)
    size, patch = pair(c, "image_size")[0], pair(c, "patch_size")
    inner = c.int("intermediate_size")
    d = tower_dims(c, width, inner if ocr else out)
    made = Merging(d, side, any_size(c, side, size), out, form="rms")
    rows = (size // patch[0]) ** 2
    mixer = made.attention(Full(), bias=biased, proj_bias=biased and ocr, qk_norm=ocr)
    ffn = gated_mlp(width, d.inner, bias=biased and ocr, kind="vision", activate=d.activate)
    learned = (
        branch("embeddings", leaf("position_embedding", Embedding(rows, width, "vision"))),
        leaf("post_conv_layernorm", made.norm(), place="pre"),
    )
    merge = Conv("vision", width, out, (side, side))
    node = branch(
        "visual", patch_embed(c, width, bias=True), *(() if ocr else learned), made.layers([mixer] * d.layers, ffn),
        leaf("post_layernorm", made.norm(), place="final"), leaf("downsample", merge, stream="vision_merged"),
        merger(c, out, out * c.int("in_channels") if ocr else inner), stream="vision",
    )  # fmt: skip
    return node, made


def glm4v(c: Config) -> Model:
    """The text decoder with the tower; the 4.6V files name the types of both."""
    own = "" if c.model_type == "glm46v" else c.model_type
    text = c.sub("text_config", f"{own}_text" if own else "")
    node, made = tower(c.sub("vision_config", f"{own}_vision" if own else ""))
    tied = c.tied() if c.model_type == "glm46v" else either_tied(c, text)
    model = text_decoder(c, text)
    return compose(c, model, node, tied=tied, streams=merged(made.seen, made.side), notes=(SEEN,))


def text_alone(c: Config) -> Model:
    """A text decoder of these as a model of its own."""
    return replace(TEXTS[c.model_type](c), family=c.model_type)


FAMILIES = {
    **dict.fromkeys(("glm4v", "glm4v_moe", "glm46v", "glm_ocr"), glm4v), **dict.fromkeys(TEXTS, text_alone),
}  # fmt: skip
