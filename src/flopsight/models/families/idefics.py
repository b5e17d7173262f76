"""Idefics 2 and 3, SmolVLM: a SigLIP tower, a connector, a text decoder."""

from __future__ import annotations

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block
from flopsight.models.blocks.mlp import act, gated_mlp
from flopsight.models.blocks.shared_kv import renamed_kind
from flopsight.models.blocks.towers import idefics_tower
from flopsight.models.blocks.vision import Picture, beside_text
from flopsight.models.config import Config
from flopsight.models.families.composite import SEEN, compose, merged, nested, text_decoder
from flopsight.models.families.llava import TILES
from flopsight.models.tree import Model, Node, StreamRule, branch, leaf, stack
from flopsight.parts.linear import Linear, Parameter
from flopsight.parts.masks import Cross
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation
from flopsight.workload import Work, Workload


def idefics3(c: Config) -> Model:
    """Squares of patches through one matrix."""
    vision = c.sub("vision_config", f"{c.model_type}_vision")
    text = nested(c, "text_config", usual={"model_type": "llama"})
    node, seen = idefics_tower(vision)
    vision.ignore("size", "max_image_size", "use_base_siglip")
    text.ignore("perceiver_config", "use_resampler", "qk_layer_norms", "pixel_shuffle_factor")
    side = c.int("scale_factor")
    if min(seen.grid()) < side:
        raise c.fail("scale_factor", side, f"at most {min(seen.grid())}, the patches along a side")
    proj = Linear("projector", vision.int("hidden_size") * side * side, text.int("hidden_size"))
    connector = branch("connector", branch("modality_projection", leaf("proj", proj)), stream="vision_merged")
    c.ignore("vocab_size")
    return compose(
        c, text_decoder(c, text), node, connector, name="text_model", streams=merged(seen, side), notes=(SEEN, TILES)
    )  # fmt: skip


def perceiver_streams(seen: Picture, latents: int) -> dict[str, StreamRule]:
    """Latents that look at the patches and at themselves."""

    def keys(w: Workload) -> int:
        return seen.patches(w.image_size) + latents

    return {
        **seen.streams(),
        "vision_merged": lambda w: Work(beside_text(w), latents, keys=keys(w)),
        "vision_keys": lambda w: Work(beside_text(w), keys(w)),
    }


def perceiver(c: Config, width: int) -> Node:
    """Layers in which learned latents read the projected patches."""
    heads, e, latents = c.int("resampler_n_heads"), c.int("resampler_head_dim"), c.int("resampler_n_latents")
    mixer = Attention(
        width, heads, c.kv_heads(heads), e, mask=Cross(), cached=False, kv_stream="vision_keys"
    ).node()  # fmt: skip
    norm = Norm(width)
    layer = block(
        leaf("input_latents_norm", norm, place="pre"),
        leaf("input_context_norm", norm, place="pre", stream="vision"),
        mixer,
        leaf("post_attention_layernorm", norm, place="pre"),
        gated_mlp(width, 4 * width, activate=c.word("hidden_act", default="silu")),
        width=width,
    )
    return branch(
        "perceiver_resampler",
        leaf("latents", Parameter("projector", (latents, width))),
        stack("layers", [layer] * c.layers("resampler_depth")),
        leaf("norm", norm, place="final"),
        stream="vision_merged",
    )


def idefics2(c: Config) -> Model:
    """A gated MLP to the text's width and a perceiver that leaves a few tokens of each picture."""
    vision, reader = c.sub("vision_config", "idefics2_vision"), c.sub("perceiver_config", "idefics2_perceiver")
    text = nested(c, "text_config", usual={"model_type": "mistral"})
    width, inner, wide = text.int("hidden_size"), text.int("intermediate_size"), vision.int("hidden_size")
    node, seen = idefics_tower(vision)
    reader.ignore("hidden_size")
    project = branch(
        "modality_projection",
        leaf("gate_proj", Linear("projector", wide, inner)),
        leaf("up_proj", Linear("projector", wide, inner)),
        leaf("act", activation(act(text.word("hidden_act", default="silu")), inner, gated=True)),
        leaf("down_proj", Linear("projector", inner, width)),
        stream="vision",
    )
    connector = renamed_kind(branch("connector", project, perceiver(reader, width)), "projector")
    streams = perceiver_streams(seen, reader.int("resampler_n_latents"))
    c.ignore("vocab_size")
    return compose(
        c, text_decoder(c, text), node, connector, name="text_model", streams=streams, notes=(SEEN, TILES)
    )  # fmt: skip


FAMILIES = {"idefics2": idefics2, "idefics3": idefics3, "smolvlm": idefics3}
