"""OLMo and EXAONE 4: norms without weights, then norms after each block and on query and key."""

from __future__ import annotations

from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.layers import post_norm_layer
from flopsight.models.blocks.mlp import gated_mlp
from flopsight.models.config import Config
from flopsight.models.families.dense import NO_BIAS, decoder, gqa, layered, typed_masks, window
from flopsight.models.tree import Model, Node
from flopsight.parts.masks import Causal, Mask
from flopsight.parts.norm import Norm


def feed_forward(c: Config, width: int) -> Node:
    """The gated feed-forward block."""
    return gated_mlp(width, c.int("intermediate_size"), activate=c.word("hidden_act", default="silu"))


def olmo(c: Config) -> Model:
    """OLMo 1: Llama whose LayerNorms store nothing."""
    width = c.int("hidden_size")
    norm = Norm(width, "layer", weight=False)
    mixer = gqa(c, width, biases=(c.flag("attention_bias", default=False),) * 4)
    return decoder(c, [pre_norm_layer(norm, mixer.node(), feed_forward(c, width))] * c.layers(), norm)


def post_normed(c: Config, masks: list[Mask], qk_norm: str, biases: tuple[bool, ...] = NO_BIAS) -> Model:
    """Norms after each block, and on query and key."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    ffn = feed_forward(c, width)

    def layer(mask: Mask) -> Node:
        return post_norm_layer(norm, gqa(c, width, mask, biases=biases, qk_norm=qk_norm).node(), ffn)

    return decoder(c, layered(masks, layer), norm)


def olmo2(c: Config) -> Model:
    """OLMo 2: one norm over all heads of the query and one over those of the key."""
    return post_normed(c, [Causal()] * c.layers(), "full", (c.flag("attention_bias", default=False),) * 4)


def olmo3(c: Config) -> Model:
    """OLMo 3: OLMo 2 with a window on three layers of four."""
    masks = typed_masks(c, lambda i: bool((i + 1) % 4))
    return post_normed(c, masks, "full", (c.flag("attention_bias", default=False),) * 4)


def exaone4(c: Config) -> Model:
    """EXAONE 4: windows on three layers of four if there is a window at all, norms on each head of query and key."""
    return post_normed(c, _exaone_masks(c), "head")


def _exaone_masks(c: Config) -> list[Mask]:
    pattern = c.get("sliding_window_pattern", default=4)
    if c.words("layer_types") is not None or window(c) == Causal():
        return typed_masks(c, lambda i: False)
    if isinstance(pattern, str) and not pattern.isdigit():
        # a pattern in letters, "LLLG": L for a window, G for everything, repeated
        if not pattern or set(pattern) - set("LG"):
            raise c.fail("sliding_window_pattern", pattern, 'a whole number or letters such as "LLLG"')
        letters = pattern
        return typed_masks(c, lambda i: letters[i % len(letters)] == "L")
    step = c.int("sliding_window_pattern", default=4)
    return typed_masks(c, lambda i: bool((i + 1) % step))


FAMILIES = {"olmo": olmo, "olmo2": olmo2, "olmo3": olmo3, "exaone4": exaone4}
