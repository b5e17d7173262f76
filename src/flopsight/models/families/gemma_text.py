"""Gemma's text models: wide heads, a large tied embedding, windows on some layers, up to four norms a layer."""

from __future__ import annotations

from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.layers import sandwich_layer
from flopsight.models.blocks.mlp import gated_mlp
from flopsight.models.config import Config
from flopsight.models.families.dense import decoder, every, gqa, layered, typed_masks
from flopsight.models.tree import Model, Node
from flopsight.parts.masks import Both, Causal, Full, Mask, Window
from flopsight.parts.norm import Norm

SANDWICH = (
    "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
)  # fmt: skip


def feed_forward(c: Config, width: int, key: str) -> Node:
    """The gated feed-forward block; `key` names the activation."""
    return gated_mlp(width, c.int("intermediate_size"), activate=c.word(key, default="gelu_pytorch_tanh"))


def mixer(c: Config, width: int, mask: Mask, qk_norm: str = "") -> Node:
    """Grouped-query attention, all four projections biased or none."""
    return gqa(c, width, mask, biases=(c.flag("attention_bias", default=False),) * 4, qk_norm=qk_norm).node()


def both_ways(c: Config, masks: list[Mask]) -> list[Mask]:
    """The masks of an encoder where the config says so: every token, or half a window on either side."""
    if not c.flag("use_bidirectional_attention", default=False):
        return masks
    return [Both(m.window // 2) if isinstance(m, Window) else Full() for m in masks]


def gemma(c: Config) -> Model:
    """Gemma 1: Llama with heads of 256 and GELU."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    c.ignore("hidden_activation")
    masks = both_ways(c, [Causal()] * c.layers())
    ffn = feed_forward(c, width, "hidden_act")
    return decoder(c, layered(masks, lambda mask: pre_norm_layer(norm, mixer(c, width, mask), ffn)), norm)


def gemma2(c: Config) -> Model:
    """Gemma 2: every other layer sees a window, norms before and after each block."""
    c.ignore("sliding_window_size")
    return _sandwiched(c, typed_masks(c, lambda i: i % 2 == 0))


def gemma3_text(c: Config) -> Model:
    """Gemma 3: five windowed layers for one that sees everything, norms on each head of query and key."""
    return _sandwiched(c, typed_masks(c, every(c, "sliding_window_pattern", 6)), "head")


def _sandwiched(c: Config, masks: list[Mask], qk_norm: str = "") -> Model:
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    ffn = feed_forward(c, width, "hidden_activation")

    def layer(mask: Mask) -> Node:
        return sandwich_layer(norm, mixer(c, width, mask, qk_norm), ffn, SANDWICH)

    return decoder(c, layered(both_ways(c, masks), layer), norm)


def vaultgemma(c: Config) -> Model:
    """VaultGemma: Gemma 2 with norms before the blocks only."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    ffn = feed_forward(c, width, "hidden_activation")
    names = ("input_layernorm", "pre_feedforward_layernorm")

    def layer(mask: Mask) -> Node:
        return pre_norm_layer(norm, mixer(c, width, mask), ffn, names)

    return decoder(c, layered(typed_masks(c, lambda i: i % 2 == 0), layer), norm)


FAMILIES = {"gemma": gemma, "gemma2": gemma2, "gemma3_text": gemma3_text, "vaultgemma": vaultgemma}
