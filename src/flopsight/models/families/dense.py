"""How dense decoders read the usual keys: rotary share, grouped-query attention, masks by layer, the whole stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import causal_lm
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node
from flopsight.parts.masks import Causal, Mask, Window
from flopsight.parts.norm import Norm

NO_BIAS = (False, False, False, False)


def rotary(c: Config, width: int, share: float = 1.0) -> int:
    """Values of a head that rotate: its width times the share the config gives, here or among its rope settings."""
    given = c.get("partial_rotary_factor", "rotary_pct", default=None)
    for section in ("rope_parameters", "rope_scaling"):
        inner = c.get(section, default=None)
        given = inner.get("partial_rotary_factor", given) if isinstance(inner, dict) else given
    if given is None:
        return int(width * share)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise c.fail("partial_rotary_factor", given, "a number from 0 to 1")
    return int(width * given)


def divided(c: Config, width: int) -> tuple[int, int]:
    """Heads and their width where the width of the stream must divide evenly and `head_dim` has no say."""
    heads = c.int("num_attention_heads")
    if width % heads:
        raise c.fail("num_attention_heads", heads, f"a divisor of the width {width:,}")
    return heads, width // heads


def gqa(
    c: Config, width: int, mask: Mask | None = None, *, share: float = 1.0, even: bool = False, **layout: Any
) -> Attention:  # fmt: skip
    """Grouped-query attention from the usual keys; `layout` sets what the family fixes.

    share  of a head that rotates if the config is silent
    even   heads are always width / heads wide, `head_dim` has no say
    """
    given = None if even else c.maybe("head_dim")
    heads, e = (c.int("num_attention_heads"), given) if given else divided(c, width)
    return Attention(
        width, heads, c.kv_heads(heads), e, rotary=rotary(c, e, share), mask=mask or Causal(), **layout
    )  # fmt: skip


def mha(c: Config, width: int, mask: Mask | None = None, **layout: Any) -> Attention:
    """As many key-value heads as heads, each of width / heads."""
    heads, e = divided(c, width)
    return Attention(width, heads, heads, e, mask=mask or Causal(), **layout)


def window(c: Config) -> Mask:
    """A sliding window over every layer, where the config sets one."""
    size = c.maybe("sliding_window", least=0)
    return Window(size) if size else Causal()


def typed_masks(c: Config, usual: Callable[[int], bool]) -> list[Mask]:
    """Windows on the layers `layer_types` calls sliding; without that list, on those `usual` says by their index."""
    count, sliding = c.layers(), window(c)
    types = c.words("layer_types", count=count)
    if types is None:
        return [sliding if usual(i) else Causal() for i in range(count)]
    for one in types:
        if one not in ("sliding_attention", "full_attention"):
            raise c.fail("layer_types", one, '"sliding_attention" or "full_attention" in every place')
    return [sliding if one == "sliding_attention" else Causal() for one in types]


def every(c: Config, key: str, usual: int) -> Callable[[int], bool]:
    """All layers slide but each `key`-th, counted from one."""
    pattern = c.int(key, default=usual)
    return lambda i: bool((i + 1) % pattern)


def layered(masks: Iterable[Mask], make: Callable[[Mask], Node]) -> list[Node]:
    """One layer for each mask, equal ones built once."""
    masks = list(masks)
    made = {mask: make(mask) for mask in dict.fromkeys(masks)}
    return [made[mask] for mask in masks]


def decoder(
    c: Config, layers: Iterable[Node], norm: Norm | None, *, width: int = 0, tied: bool | None = None,
    **names: Any,
) -> Model:  # fmt: skip
    """The layers between embedding, final norm and head; `width` is the embedding's, if not the norm's."""
    return causal_lm(
        layers, family=c.model_type, vocab=c.int("vocab_size"), width=width or (norm.width if norm else 0), norm=norm,
        tied=c.tied() if tied is None else tied, **names,
    )  # fmt: skip


def cross_attention(c: Config) -> tuple[str, ...]:
    """What to say of a decoder that was told to look at an encoder nobody described."""
    if c.flag("add_cross_attention", default=False):
        return ("add_cross_attention is true: the cross-attention layers are not counted",)
    return ()
