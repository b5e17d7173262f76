"""Qwen's models of text and pictures: 2, 2.5, 3 and 3.5, dense and routed, and their text decoders alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flopsight.models.blocks.merged_vision import UNSIZED, Merging, qwen2_5_tower, qwen2_tower, qwen3_tower
from flopsight.models.config import Config
from flopsight.models.families.composite import SEEN, compose, either_tied, flat_text, merged, text_decoder
from flopsight.models.families.dense import divided
from flopsight.models.families.llama import decoder, layer_masks
from flopsight.models.families.qwen_moe import qwen3_moe
from flopsight.models.tree import Model, Node
from flopsight.parts.masks import Causal

Tower = Callable[[Config], tuple[Node, Merging]]

SIZED = f"A picture is {UNSIZED} x {UNSIZED} pixels unless the workload gives its size."


def qwen2_vl_text(c: Config) -> Model:
    """Qwen2 whose heads always split the width evenly."""
    _, e = divided(c, c.int("hidden_size"))
    if c.maybe("head_dim") not in (None, e):
        raise c.fail("head_dim", c.raw["head_dim"], f"absent or {e}: this family's heads split the width")
    return decoder(c, layer_masks(c), qkv_bias=True, biasable=False)


def qwen3_vl_text(c: Config) -> Model:
    """Qwen3 without windows."""
    c.ignore("sliding_window", "use_sliding_window", "max_window_layers", "layer_types")
    return decoder(c, [Causal()] * c.layers(), qk_norm="head")


def qwen3_vl_moe_text(c: Config) -> Model:
    """Qwen3's routed decoder without windows."""
    c.ignore("sliding_window", "use_sliding_window", "max_window_layers", "layer_types")
    return qwen3_moe(c)


def seeing(c: Config, text: Config, tower: Tower, *, tied: bool, notes: tuple[str, ...] = ()) -> Model:
    """The text decoder with a tower whose merged patches take the place of tokens."""
    node, made = tower(c.sub("vision_config", f"{c.model_type}_vision"))
    model = text_decoder(c, text)
    return compose(c, model, node, tied=tied, streams=merged(made.seen, made.side), notes=(SEEN, *notes))


def qwen2_vl(c: Config) -> Model:
    """Qwen2-VL; its files keep the text's keys at the top level."""
    text = flat_text(c, "qwen2_vl_text")
    return seeing(c, text, qwen2_tower, tied=either_tied(c, text), notes=(SIZED,))


def qwen2_5_vl(c: Config) -> Model:
    """Qwen2.5-VL: window attention in the tower."""
    text = flat_text(c, "qwen2_5_vl_text")
    return seeing(c, text, qwen2_5_tower, tied=either_tied(c, text), notes=(SIZED,))


def qwen3_vl(c: Config) -> Model:
    """Qwen3-VL, dense and routed: features of some layers of the tower are added to the text's first layers."""
    return seeing(c, c.sub("text_config", f"{c.model_type}_text"), qwen3_tower, tied=c.tied())


def qwen3_5(c: Config) -> Model:
    """Qwen3.5, dense and routed: Qwen3-VL's tower without the features of its inner layers."""
    text = c.sub("text_config", f"{c.model_type}_text")
    return seeing(c, text, lambda v: qwen3_tower(v, deep=False), tied=c.tied())


def text_alone(c: Config) -> Model:
    """A text decoder of these as a model of its own."""
    return replace(TEXTS[c.model_type](c), family=c.model_type)


TEXTS = {
    "qwen2_vl_text": qwen2_vl_text, "qwen2_5_vl_text": qwen2_vl_text, "qwen3_vl_text": qwen3_vl_text,
    "qwen3_vl_moe_text": qwen3_vl_moe_text,
}  # fmt: skip

FAMILIES = {
    "qwen2_vl": qwen2_vl, "qwen2_5_vl": qwen2_5_vl, "qwen3_vl": qwen3_vl, "qwen3_vl_moe": qwen3_vl,
    "qwen3_5": qwen3_5, "qwen3_5_moe": qwen3_5, **dict.fromkeys(TEXTS, text_alone),
}  # fmt: skip
