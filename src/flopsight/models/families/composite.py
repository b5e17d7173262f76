"""Models of text that also see or hear: a text decoder of any family, towers beside it, projectors between.

The text decoder is built by its own family and moved to where the composite keeps it; head and further-token layers
stay. `seq` counts every position of the decoder, those that pictures or sounds fill included; `images` says how many
pictures (or clips) a sequence brings, and without any the towers do not run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flopsight.errors import UsageError
from flopsight.expr import Number
from flopsight.models.blocks.vision import Picture, beside_text
from flopsight.models.config import Config
from flopsight.models.families import Family, family
from flopsight.models.tree import Model, Node, StreamRule, branch
from flopsight.parts.linear import Linear
from flopsight.workload import Work, Workload

SEEN = "Towers run only where the workload brings images; their tokens are counted among those of the text."
HEARD = "Towers run only where the workload brings clips (`images`); their tokens are counted among those of the text."


def nested(c: Config, name: str, model_type: str = "", *, usual: Mapping[str, Any] | None = None) -> Config:
    """A nested config; `usual` is what the composite's class puts there where the file has nothing."""
    if usual and not c.has(name):
        kind = model_type or usual.get("model_type") or c.sub(name).model_type
        c.children[name] = Config(usual, kind, c.where, parent=c.path(name))
    return c.sub(name, model_type)


def flat_text(c: Config, model_type: str) -> Config:
    """`text_config`, or in files that keep the keys of the text decoder at the top level, that level again."""
    if c.has("text_config"):
        return c.sub("text_config", model_type)
    return Config(c.raw, model_type, c.where, parent=c.parent)


def text_decoder(c: Config, text: Config, build: Family | None = None) -> Model:
    """The text decoder as its own family builds it."""
    build = build or family(text.model_type)
    if build is None:
        raise text.fail("model_type", text.model_type, "a text model of a known family")
    model = build(text)
    if text.raw is c.raw:
        # the same level read twice: a key is unread only if neither looked at it
        c.read |= text.read
        c.assumed |= text.assumed
    return model


def either_tied(c: Config, text: Config) -> bool:
    """Tied if this level or the text's says so: older files say it only there."""
    return c.tied() or text.flag("tie_word_embeddings", default=False)


NESTED = (
    "tie_word_embeddings", "model_type", "cross_attention_hidden_size", "use_cache", "is_composition",
    "num_image_tokens", "num_positions",
)  # fmt: skip
TOP = ("vocab_size", "hidden_size", "num_hidden_layers", "is_composition", "image_seq_length")


def leftovers(c: Config) -> None:
    """Keys that old files repeat in every nested config, or at the top for the nested ones, and that decide nothing."""
    c.ignore(*TOP)
    for child in c.children.values():
        child.ignore(*NESTED)


def compose(
    c: Config,
    text: Model,
    *children: Node | None,
    tied: bool | None = None,
    streams: Mapping[str, StreamRule] | None = None,
    name: str = "language_model",
    prefix: str = "model",
    notes: tuple[str, ...] = (SEEN,),
    unknown: tuple[str, ...] = (),
) -> Model:
    """The text decoder under `prefix.name`, with towers and projectors as its neighbours; the head at the top."""
    tied = c.tied() if tied is None else tied
    leftovers(c)
    body, *heads = text.root.children
    inner = branch(prefix, *children, replace(body, name=name))
    root = branch("", inner, *(retied(node, tied) for node in heads))
    return replace(
        text, family=c.model_type, root=root, tied=tied, streams={**text.streams, **(streams or {})},
        notes=(*text.notes, *notes), unknown=(*text.unknown, *unknown),
    )  # fmt: skip


def retied(node: Node, tied: bool) -> Node:
    """A head whose matrix is, or is not, the input embedding."""
    part = node.part
    return replace(node, part=replace(part, tied=tied)) if isinstance(part, Linear) else node


def per_picture(tokens: Callable[[Workload], Number]) -> StreamRule:
    """A stream of `tokens(workload)` positions for each picture beside the text."""
    return lambda w: Work(beside_text(w), tokens(w))


def merged(seen: Picture, side: int) -> dict[str, StreamRule]:
    """The streams of a tower whose tokens are merged `side` by `side`: "vision_merged" has one for each square."""

    def cells(w: Workload) -> int:
        high, wide = seen.grid(w.image_size)
        found = (high // side) * (wide // side)
        if not found:
            raise UsageError(f"This model's smallest image is {side * max(seen.patch)} pixels a side.")
        return found

    return {**seen.streams(), "vision_merged": per_picture(cells)}
