"""Encoder-decoder models: the streams of the two sides, and attention from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flopsight.expr import Number, minimum
from flopsight.models.tree import Node, StreamRule, branch, leaf
from flopsight.parts.cross import CrossCore
from flopsight.parts.linear import Linear
from flopsight.workload import Work, Workload

SAME_LENGTH = "Unless told otherwise the encoder reads as many tokens as the decoder has seen and writes."


def same_length(w: Workload) -> Number:
    """As many encoder tokens as the decoder's whole context, unless the workload says."""
    return w.seq + w.past if w.encoder is None else w.encoder


def two_sides(length: Callable[[Workload], Number] = same_length, most: int = 0) -> dict[str, StreamRule]:
    """The streams of an encoder-decoder.

    "encoder" has no tokens in a decode step, because it ran in prefill; "cross" are the decoder's tokens with the
    encoder's as keys. `most` cuts the decoder's tokens to what its positions allow.
    """

    def text(w: Workload) -> Work:
        work = w.text()
        return replace(work, queries=minimum(work.queries, most)) if most else work

    def scored(w: Workload) -> Work:
        work = w.scored()
        return replace(work, queries=minimum(work.queries, most)) if most else work

    def encoder(w: Workload) -> Work:
        return Work(w.batch, 0 if w.phase == "decode" else length(w))

    def cross(w: Workload) -> Work:
        keys = length(w)
        return Work(w.batch, text(w).queries, keys if w.phase == "decode" else 0, keys)

    return {"text": text, "scored": scored, "encoder": encoder, "cross": cross, "sequence": lambda w: Work(w.batch, 1)}


def cross_attention(
    name: str,
    width: int,
    heads: int,
    e: int,
    *,
    names: tuple[str, str, str, str] = ("q_proj", "k_proj", "v_proj", "out_proj"),
    biases: tuple[bool, bool, bool, bool] = (True, True, True, True),
    source: int = 0,
    length: int = 0,
) -> Node:
    """Queries from the decoder, keys and values from the encoder's last layer (of width `source`)."""
    inner, source = heads * e, source or width
    return branch(
        name,
        leaf(names[0], Linear("attention", width, inner, biases[0])),
        leaf(names[1], Linear("attention", source, inner, biases[1]), stream="encoder"),
        leaf(names[2], Linear("attention", source, inner, biases[2]), stream="encoder"),
        leaf("core", CrossCore(heads, e, e, heads, length), stream="cross"),
        leaf(names[3], Linear("attention", inner, width, biases[3])),
    )
