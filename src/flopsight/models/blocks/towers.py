"""Towers that belong to one family each: Idefics, InternVL, Llama 4, Llama 3.2 Vision; and the table of all towers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.vision import (
    OUT_PROJ,
    Dims,
    Picture,
    clip_tower,
    dims,
    dinov2_tower,
    pair,
    patch_conv,
    picture,
    pixtral_tower,
    siglip2_tower,
    siglip_tower,
    tower_layer,
    vit_tower,
)
from flopsight.models.config import Config
from flopsight.models.tree import Node, branch, leaf, stack
from flopsight.parts.linear import Embedding, Linear, Parameter
from flopsight.parts.masks import Full
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation

Tower: TypeAlias = Callable[[Config, str], tuple[Node, Picture]]


def idefics_tower(c: Config, name: str = "vision_model") -> tuple[Node, Picture]:
    """SigLIP without its pooling head: Idefics 2 and 3, SmolVLM."""
    d, seen = dims(c, "vision"), picture(c)
    layer = tower_layer(
        d, d.norm(), d.attention(OUT_PROJ, (True,) * 4).node(), d.mlp(), norms=("layer_norm1", "layer_norm2")
    )
    rows = seen.patches()
    embeddings = branch(
        "embeddings",
        patch_conv(c, "patch_embedding", d),
        leaf("position_embedding", Embedding(rows, d.width, "vision")),
    )
    layers = branch("encoder", stack("layers", [layer] * d.layers))
    return branch(name, embeddings, layers, leaf("post_layernorm", d.norm(), place="final"), stream="vision"), seen


def internvl_tower(c: Config, name: str = "vision_tower") -> tuple[Node, Picture]:
    """InternViT: a class token, scaled branches, a norm over query and key where `use_qk_norm`."""
    d, seen = dims(c, "vision"), picture(c, extra=1)
    bias, e = c.flag("attention_bias", default=False), d.width // d.heads
    if d.width % d.heads:
        raise c.fail("num_attention_heads", d.heads, f"a divisor of the width {d.width:,}")
    form = "rms" if c.word("norm_type", default="layer_norm") == "rms_norm" else "layer"
    norm = Norm(d.width, form, bias=form == "layer", kind="vision")
    mixer = Attention(
        d.width, d.heads, d.heads, e, biases=(bias, bias, bias, True), mask=Full(), cached=False, kind="vision",
        names=("q_proj", "k_proj", "v_proj", "projection_layer"),
    ).node("attention")  # fmt: skip
    if c.flag("use_qk_norm", default=False):
        over_all = Norm(d.width, kind="vision")
        mixer = branch("attention", *mixer.children, *(leaf(n, over_all, place="qk") for n in ("q_norm", "k_norm")))
    layer = tower_layer(
        d, norm, mixer, d.mlp(), norms=("layernorm_before", "layernorm_after"), scales=("lambda_1", "lambda_2")
    )
    pooled = c.flag("use_mean_pooling", default=True)
    node = branch(
        name, _internvl_embeddings(c, d, seen), branch("encoder", stack("layer", [layer] * d.layers)),
        None if pooled else leaf("layernorm", d.norm(), place="final"), stream="vision",
    )  # fmt: skip
    return node, seen


def _internvl_embeddings(c: Config, d: Dims, seen: Picture) -> Node:
    learned = c.flag("use_absolute_position_embeddings", default=True)
    positions = Parameter("vision", (1, seen.patches() + 1, d.width), d.width)
    return branch(
        "embeddings",
        leaf("cls_token", Parameter("vision", (1, 1, d.width))),
        leaf("mask_token", Parameter("vision", (1, 1, d.width))) if c.flag("use_mask_token", default=False) else None,
        leaf("position_embeddings", positions) if learned else None,
        branch("patch_embeddings", patch_conv(c, "projection", d)),
    )


def llama4_tower(c: Config, name: str = "vision_model") -> tuple[Node, Picture]:
    """Llama 4: flattened patches through a matrix, a class token at the end, an adapter on squares of patches."""
    d, seen = dims(c, "vision"), picture(c, extra=1)
    patch = pair(c, "patch_size")
    norm = d.norm()
    mixer = d.attention(("q_proj", "k_proj", "v_proj", "o_proj"), (True,) * 4, rotary=True)
    layer = tower_layer(
        d, norm, mixer.node(), d.mlp(), norms=("input_layernorm", "post_attention_layernorm")
    )  # fmt: skip
    flat = Linear("vision", c.int("num_channels") * patch[0] * patch[1], d.width)
    inner, out = c.int("projector_input_dim"), c.int("projector_output_dim")
    # the adapter is as wide as the MLP, which must equal the merged squares
    adapter = branch(
        "mlp",
        leaf("fc1", Linear("vision", d.inner, inner)),
        leaf("act", activation("gelu", inner)),
        leaf("fc2", Linear("vision", out, out)),
        leaf("act2", activation("gelu", out)),
        stream="vision_merged",
    )
    node = branch(
        name, leaf("class_embedding", Parameter("vision", (d.width,))),
        leaf("positional_embedding_vlm", Parameter("vision", (seen.patches() + 1, d.width), d.width)),
        branch("patch_embedding", leaf("linear", flat, stream="vision_patches")),
        leaf("layernorm_pre", norm, place="pre"), leaf("layernorm_post", norm, place="final"),
        branch("model", stack("layers", [layer] * d.layers)), branch("vision_adapter", adapter), stream="vision",
    )  # fmt: skip
    return node, seen


def mllama_tower(c: Config, name: str = "vision_model") -> tuple[Node, Picture]:
    """Llama 3.2 Vision: all tiles of a picture in one sequence, local then gated global layers.

    Streams: "vision" all tokens of a picture, "vision_patches" what the convolution makes of all tiles.
    """
    d, seen = dims(c, "vision"), picture(c, extra=1)
    tiles, shapes = c.int("max_num_tiles"), len(c.list("supported_aspect_ratios") or [0] * 8) + 1
    rows, norm = seen.patches() + 1, d.norm()
    mixer = d.attention(("q_proj", "k_proj", "v_proj", "o_proj"), (False,) * 4).node()
    layer = tower_layer(d, norm, mixer, d.mlp(), norms=("input_layernorm", "post_attention_layernorm"))
    gates = tuple(leaf(g, Parameter("vision", (1,), 2 * d.width)) for g in ("gate_attn", "gate_ffn"))
    deep = branch("", *layer.children, *gates)
    over_tiles = Embedding(shapes, tiles * d.width, "vision")
    by_tile = (leaf("gate", Parameter("vision", (1,))), leaf("embedding", over_tiles, stream="vision_pictures"))
    positions = branch(
        "gated_positional_embedding",
        leaf("gate", Parameter("vision", (1,))),
        leaf("embedding", Parameter("vision", (rows, d.width), 4 * d.width)),
        leaf("tile_embedding", Embedding(shapes, tiles * rows * d.width, "vision"), stream="vision_pictures"),
    )
    node = branch(
        name, leaf("class_embedding", Parameter("vision", (d.width,))),
        patch_conv(c, "patch_embedding", d, bias=False), positions,
        branch("pre_tile_positional_embedding", *by_tile), branch("post_tile_positional_embedding", *by_tile),
        leaf("layernorm_pre", norm, place="pre"), leaf("layernorm_post", norm, place="final"),
        branch("transformer", stack("layers", [layer] * d.layers)),
        branch("global_transformer", stack("layers", [deep] * c.layers("num_global_layers"))), stream="vision",
    )  # fmt: skip
    return node, seen


TOWERS: dict[str, Tower] = {
    "clip_vision_model": clip_tower, "siglip_vision_model": siglip_tower, "siglip2_vision_model": siglip2_tower,
    "pixtral": pixtral_tower, "vit": vit_tower, "dinov2": dinov2_tower, "internvl_vision": internvl_tower,
    "idefics2_vision": idefics_tower, "idefics3_vision": idefics_tower, "smolvlm_vision": idefics_tower,
}  # fmt: skip
"""Towers by the model_type of their config."""


def tower(c: Config, name: str = "vision_tower") -> tuple[Node, Picture]:
    """The tower a nested config describes."""
    build = TOWERS.get(c.model_type)
    if build is None:
        raise c.fail("model_type", c.model_type, f"one of {', '.join(TOWERS)}")
    c.ignore("vocab_size", "projection_dim", "model_type")
    return build(c, name)
