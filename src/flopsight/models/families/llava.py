"""Models that put a tower of a known kind and a projector before a text decoder of any family: LLaVA and its kin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

from flopsight.expr import Number
from flopsight.models.blocks.mlp import act
from flopsight.models.blocks.towers import tower
from flopsight.models.blocks.vision import Picture
from flopsight.models.config import Config
from flopsight.models.families.composite import SEEN, compose, either_tied, merged, nested, per_picture, text_decoder
from flopsight.models.tree import Model, Node, StreamRule, branch, leaf
from flopsight.parts.attention import AttentionCore
from flopsight.parts.linear import Linear, Parameter
from flopsight.parts.masks import Causal, Full, Prompt, Window
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation
from flopsight.workload import Workload

CLIP = {
    "model_type": "clip_vision_model", "intermediate_size": 4096, "hidden_size": 1024, "patch_size": 14,
    "image_size": 336, "num_hidden_layers": 24, "num_attention_heads": 16,
}  # fmt: skip
SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "patch_size": 14,
    "num_attention_heads": 16,
}  # fmt: skip
USUAL: Mapping[str, Mapping[str, Any]] = {
    "llava": CLIP, "llava_next": CLIP, "llava_next_video": CLIP, "vipllava": CLIP,
    "llava_onevision": {**SIGLIP, "image_size": 384, "num_hidden_layers": 26, "vision_use_head": False},
    "aya_vision": {
        **SIGLIP, "image_size": 384, "num_hidden_layers": 26, "num_attention_heads": 14, "vision_use_head": False,
    },
    "cohere2_vision": {
        "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 3072, "image_size": 512,
        "num_hidden_layers": 27, "num_attention_heads": 12,
    },
    "paligemma": {
        **SIGLIP, "intermediate_size": 4096, "image_size": 224, "num_hidden_layers": 27, "vision_use_head": False,
    },
    "mistral3": {
        "model_type": "pixtral", "intermediate_size": 4096, "hidden_size": 1024, "patch_size": 14, "image_size": 1540,
        "num_hidden_layers": 24, "num_attention_heads": 16, "hidden_act": "gelu",
    },
}  # fmt: skip
"""The tower each class takes where the file describes none."""

TILES = "A picture is one tile; one cut into n tiles counts as n pictures (and one more for the overview)."
BOTH_WAYS = "Tokens of one picture see each other both ways; text attention is counted as causal all the same."
PREFIX = "Picture and prompt attend to each other both ways, so a prefill takes the whole square."


def taps(c: Config) -> int:
    """How many layers of the tower the projector reads."""
    found = c.get("vision_feature_layer", "vision_feature_layers", default=-1)
    return len(found) if isinstance(found, list | tuple) and found else 1


def two_matrices(
    inputs: int, width: int, *, bias: bool, activate: str, inner: int = 0, before: tuple[Node, ...] = ()
) -> Node:
    """What most projectors are: linear, activation, linear, on the tokens the text will see."""
    inner = inner or width
    return branch(
        "multi_modal_projector",
        *before,
        leaf("linear_1", Linear("projector", inputs, inner, bias)),
        leaf("act", activation(act(activate), inner)),
        leaf("linear_2", Linear("projector", inner, width, bias)),
        stream="vision_merged",
    )


def gated_projector(inputs: int, inner: int, width: int, before: tuple[Node, ...] = ()) -> Node:
    """One half of the inner values gates the other."""
    return branch(
        "multi_modal_projector",
        *before,
        leaf("linear_1", Linear("projector", inputs, inner, True)),
        leaf("act", activation("silu", inner // 2, gated=True)),
        leaf("linear_2", Linear("projector", inner // 2, width, True)),
        stream="vision_merged",
    )


def kept(c: Config, seen: Picture, usual: str = "default") -> dict[str, StreamRule]:
    """The tower's streams, and the tokens the projector keeps: all, or all but the first."""
    first = c.word("vision_feature_select_strategy", default=usual) == "default"

    def tokens(w: Workload) -> Number:
        return seen.patches(w.image_size) + seen.extra - first

    return {**seen.streams(), "vision_merged": per_picture(tokens)}


def parts(c: Config) -> tuple[Node, Picture, Config, Config]:
    """The tower, its picture, and both nested configs."""
    vision = nested(c, "vision_config", usual=USUAL.get(c.model_type))
    node, seen = tower(vision)
    return node, seen, vision, c.sub("text_config")


def llava(c: Config) -> Model:
    """LLaVA, LLaVA-NeXT, OneVision: the tower's tokens through two matrices."""
    node, seen, vision, text = parts(c)
    width = text.int("hidden_size")
    bias = c.flag("multimodal_projector_bias", default=True)
    activate = c.word("projector_hidden_act", default="gelu")
    projector = two_matrices(taps(c) * vision.int("hidden_size"), width, bias=bias, activate=activate)
    # the row ends of a tiled picture
    newline = leaf("image_newline", Parameter("projector", (width,)), stream="vision_merged")
    tiled = c.model_type != "llava"
    tied = c.tied() if c.model_type == "llava_next" else either_tied(c, text)
    usual = "full" if c.model_type == "llava_onevision" else "default"
    c.ignore("vocab_size", "image_seq_length", "use_image_newline_parameter", "vision_aspect_ratio")
    return compose(
        c, text_decoder(c, text), node, projector, newline if tiled else None, tied=tied,
        streams=kept(c, seen, usual), notes=(SEEN, TILES) if tiled else (SEEN,),
    )  # fmt: skip


def llava_next_video(c: Config) -> Model:
    """LLaVA-NeXT for video; frames are pooled, by a convolution if the config asks for one."""
    if c.word("spatial_pool_mode", default="average") != "conv":
        c.ignore("spatial_pool_stride", "spatial_pool_out_channels")
        return llava(c)
    raise c.fail("spatial_pool_mode", "conv", '"average" or "max"')


def vipllava(c: Config) -> Model:
    """LLaVA that reads several layers of the tower through a norm."""
    node, seen, vision, text = parts(c)
    found = c.get("vision_feature_layer", "vision_feature_layers", default=[-2, -5, -8, -11, 6])
    inputs = (len(found) if isinstance(found, list | tuple) else 1) * vision.int("hidden_size")
    norm = leaf("projector_layernorm", Norm(inputs, "layer", bias=True, kind="projector"))
    activate = c.word("projector_hidden_act", default="gelu")
    projector = two_matrices(inputs, text.int("hidden_size"), bias=True, activate=activate, before=(norm,))
    c.ignore("vocab_size", "image_seq_length", "vision_feature_select_strategy")
    return compose(c, text_decoder(c, text), node, projector, tied=c.tied(), streams=kept(Config({}), seen))


def mistral3(c: Config) -> Model:
    """Mistral 3 and Devstral: Pixtral's tower, squares of patches merged by a matrix."""
    node, seen, vision, text = parts(c)
    wide, side = vision.int("hidden_size"), c.int("spatial_merge_size")
    before = (
        leaf("norm", Norm(wide, kind="projector"), stream="vision"),
        branch("patch_merger", leaf("merging_layer", Linear("projector", wide * side * side, wide))),
    )
    projector = two_matrices(
        taps(c) * wide, text.int("hidden_size"), bias=c.flag("multimodal_projector_bias", default=False),
        activate=c.word("projector_hidden_act", default="gelu"), before=before,
    )  # fmt: skip
    silent = (
        () if c.has("tie_word_embeddings") else ("The file does not say whether the head is tied; it is taken so.",)
    )
    return compose(
        c,
        text_decoder(c, text),
        node,
        projector,
        streams=merged(seen, side),
        notes=(SEEN, *(silent if c.tied() else ())),
    )


def shuffled(c: Config, seen: Picture, side: int) -> dict[str, StreamRule]:
    """The tower's streams and one token for each square of `side` x `side` patches."""
    if min(seen.grid()) < side:
        raise c.fail("image_size", list(seen.size), f"at least {side} patches a side")
    return merged(seen, side)


def internvl(c: Config) -> Model:
    """InternVL: squares of patches, a norm, two matrices."""
    node, seen, vision, text = parts(c)
    side = int(1 / c.number("downsample_ratio"))
    if side < 1:
        raise c.fail("downsample_ratio", c.get("downsample_ratio"), "at most one")
    inputs = vision.int("hidden_size") * side * side
    norm = leaf("layer_norm", Norm(inputs, "layer", bias=True, kind="projector"))
    activate = c.word("projector_hidden_act", default="gelu")
    projector = two_matrices(inputs, text.int("hidden_size"), bias=True, activate=activate, before=(norm,))
    c.ignore("image_seq_length", "vision_feature_layer")
    return compose(c, text_decoder(c, text), node, projector, streams=shuffled(c, seen, side), notes=(SEEN, TILES))


def aya_vision(c: Config) -> Model:
    """Aya Vision: squares of patches, a norm, a gated projector as wide as the text or as the config says."""
    node, seen, vision, text = parts(c)
    side, width = c.int("downsample_factor"), text.int("hidden_size")
    inputs = vision.int("hidden_size") * side * side
    norm = leaf("layernorm", Norm(inputs, "layer", bias=True, kind="projector"))
    inner = c.maybe("alignment_intermediate_size") or width
    projector = gated_projector(inputs, inner, width, (norm,))
    c.ignore("vision_feature_layer", "max_splits_per_img")
    return compose(c, text_decoder(c, text), node, projector, streams=shuffled(c, seen, side), notes=(SEEN, TILES))


def cohere2_vision(c: Config) -> Model:
    """Command A Vision: squares of patches, a gated projector."""
    node, seen, vision, text = parts(c)
    side = c.int("downsample_factor")
    inputs = vision.int("hidden_size") * side * side
    projector = gated_projector(inputs, c.int("alignment_intermediate_size"), text.int("hidden_size"))
    return compose(c, text_decoder(c, text), node, projector, streams=shuffled(c, seen, side), notes=(SEEN, TILES))


def gemma3(c: Config) -> Model:
    """Gemma 3: patches averaged to `mm_tokens_per_image`, a norm, one matrix stored input first."""
    node, seen, vision, text = parts(c)
    wide, width = vision.int("hidden_size"), text.int("hidden_size")
    across = seen.grid()[0]
    pool = across // isqrt(c.int("mm_tokens_per_image"))
    if not pool:
        raise c.fail("mm_tokens_per_image", c.get("mm_tokens_per_image"), f"at most the {across * across} patches")
    weight = Linear("projector", wide, width, transposed=True, weight="mm_input_projection_weight")
    projector = branch(
        "multi_modal_projector",
        leaf("", weight),
        leaf("mm_soft_emb_norm", Norm(wide, kind="projector")),
        stream="vision_merged",
    )
    # the class of ShieldGemma 2 declares an untied head and ties it all the same unless its text does not
    tied = either_tied(c, text) if c.model_type == "shieldgemma2" else c.tied()
    model = text_decoder(c, text)
    return compose(c, model, node, projector, tied=tied, streams=merged(seen, pool), notes=(SEEN, BOTH_WAYS))


def paligemma(c: Config) -> Model:
    """PaliGemma 1 and 2: one matrix, and a text decoder whose prompt attends both ways."""
    node, seen, vision, text = parts(c)
    wide, out = vision.int("hidden_size"), c.int("projection_dim")
    projector = branch(
        "multi_modal_projector", leaf("linear", Linear("projector", wide, out, True)), stream="vision_merged"
    )
    c.ignore("vocab_size", "hidden_size")
    text.ignore("num_image_tokens")
    model = text_decoder(c, text)
    model = replace(model, root=whole_square(model.root))
    streams = {**seen.streams(), "vision_merged": seen.streams()["vision_patches"]}
    return compose(c, model, node, projector, streams=streams, notes=(SEEN, PREFIX))


def whole_square(node: Node) -> Node:
    """The same tree with every core seeing a prompt both ways."""
    part = node.part
    if isinstance(part, AttentionCore) and isinstance(part.mask, Causal):
        return replace(node, part=replace(part, mask=Full()))
    if isinstance(part, AttentionCore) and isinstance(part.mask, Window):
        return replace(node, part=replace(part, mask=Prompt(part.mask.window)))
    return replace(node, children=tuple(whole_square(child) for child in node.children))


FAMILIES: dict[str, Callable[[Config], Model]] = {
    "llava": llava, "llava_next": llava, "llava_next_video": llava_next_video, "llava_onevision": llava,
    "vipllava": vipllava, "mistral3": mistral3, "internvl": internvl, "aya_vision": aya_vision,
    "cohere2_vision": cohere2_vision, "gemma3": gemma3, "shieldgemma2": gemma3, "paligemma": paligemma,
}  # fmt: skip
