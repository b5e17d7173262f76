"""Step 3.7: a tower whose patches two strided convolutions shrink sixteenfold, before Step 3.5's routed decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopsight.models.blocks.vision import OUT_PROJ, Dims, Picture, patch_conv, picture, tower_layer
from flopsight.models.config import Config
from flopsight.models.families.composite import SEEN, compose, per_picture, text_decoder
from flopsight.models.tree import Model, Node, StreamRule, branch, leaf, stack
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Embedding, Linear

HALVED, TAPS = "vision_halved", (3, 3)
OLDER: Mapping[str, str] = {"width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads"}
TILES = "A picture is one view; one with n local views counts as n + 1 pictures."


def renamed(c: Config, name: str, model_type: str) -> Config:
    """A nested config read as `model_type`, whatever type it declares, its older keys taking the place of the newer."""
    given: Mapping[str, Any] = c.sub(name).raw
    raw = {k: v for k, v in given.items() if k not in OLDER} | {OLDER[k]: v for k, v in given.items() if k in OLDER}
    c.children[name] = Config(raw, model_type, c.where, parent=c.path(name))
    return c.children[name]


def tower_dims(c: Config) -> Dims:
    """The inner width is `mlp_ratio` times the width; an `intermediate_size` in the file decides nothing."""
    width = c.int("hidden_size")
    heads = c.int("num_attention_heads")
    if width % heads:
        raise c.fail("num_attention_heads", heads, f"a divisor of the width {width:,}")
    inner = int(width * c.number("mlp_ratio"))
    if not 1 <= inner <= 2**40:
        raise c.fail("mlp_ratio", c.get("mlp_ratio"), "such that the inner width is a whole number from 1")
    return Dims(width, heads, inner, c.layers(), c.word("hidden_act"), "vision")


def step_tower(c: Config) -> tuple[Node, Picture]:
    """Learned and rotary positions, scaled branches, two convolutions of stride two."""
    d, seen = tower_dims(c), picture(c)
    c.ignore("intermediate_size", "max_position_embeddings", "layer_scale_init_value", "ls_init_value")
    mixer = d.attention(OUT_PROJ, (True,) * 4, rotary=True).node()
    layer = tower_layer(
        d, d.norm(), mixer, d.mlp(), norms=("layernorm_before", "layernorm_after"), scales=("lambda_1", "lambda_2")
    )
    embeddings = branch(
        "embeddings", patch_conv(c, "patch_embedding", d, bias=False),
        leaf("position_embedding", Embedding(seen.patches(), d.width, "vision")),
    )  # fmt: skip
    node = branch(
        "vision_model", embeddings, leaf("pre_layernorm", d.norm(), place="pre"),
        stack("layers", [layer] * d.layers),
        leaf("downsampler1", Conv("vision", d.width, 2 * d.width, TAPS), stream=HALVED),
        leaf("downsampler2", Conv("vision", 2 * d.width, 4 * d.width, TAPS), stream="vision_merged"),
        stream="vision",
    )  # fmt: skip
    return node, seen


def shrunk(seen: Picture) -> dict[str, StreamRule]:
    """The tower's streams; each convolution halves rows and columns, an odd last one kept."""

    def rule(times: int) -> StreamRule:
        def cells(side: int | None) -> int:
            high, wide = seen.grid(side)
            return -(-high // times) * -(-wide // times)

        return per_picture(lambda w: cells(w.image_size))

    return {**seen.streams(), HALVED: rule(2), "vision_merged": rule(4)}


def step3p7(c: Config) -> Model:
    """One matrix takes the tower's last convolution to the text; the head is tied only if the top level says so."""
    vision, text = renamed(c, "vision_config", "step3p5_vision"), renamed(c, "text_config", "step3p5")
    node, seen = step_tower(vision)
    inputs, bias = 4 * vision.int("hidden_size"), c.flag("projector_bias", default=False)
    projector = leaf(
        "multi_modal_projector", Linear("projector", inputs, text.int("hidden_size"), bias), stream="vision_merged"
    )
    tied = c.flag("tie_word_embeddings", default=False)
    model = text_decoder(c, text)
    return compose(c, model, node, projector, tied=tied, streams=shrunk(seen), notes=(SEEN, TILES))


FAMILIES = {"step3p7": step3p7}
