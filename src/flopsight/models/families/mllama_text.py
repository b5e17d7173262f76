"""Llama 3.2 Vision's text decoder alone: it looks at whatever states another model brings."""

from __future__ import annotations

from flopsight.expr import Number, minimum
from flopsight.models.blocks.decoder import head_nodes
from flopsight.models.config import Config
from flopsight.models.families.llama_vision import EXTRA_ROWS, mllama_layers
from flopsight.models.tree import STREAMS, Model, StreamRule, branch, leaf, stack
from flopsight.parts.linear import Embedding
from flopsight.parts.norm import Norm
from flopsight.workload import Work, Workload

BROUGHT = "Layers that look at pictures run only where the workload says how many states there are to see (`encoder`)."


def brought_streams() -> dict[str, StreamRule]:
    """States of pictures, already as wide as the text; a decode step finds their keys and values in the cache."""

    def held(w: Workload) -> Number:
        return 0 if w.encoder is None else w.encoder

    def states(w: Workload) -> Work:
        return Work(w.batch, 0 if w.phase == "decode" else held(w))

    def crossed(w: Workload) -> Work:
        seen = held(w)
        return Work(w.batch * minimum(seen, 1), w.seq, seen if w.phase == "decode" else 0, seen)

    return {**STREAMS, "vision_states": states, "crossed": crossed}


def mllama_text(c: Config) -> Model:
    """A few more rows in the embedding than in the head, so the two are never tied."""
    width, vocab = c.int("hidden_size"), c.int("vocab_size")
    c.ignore("tie_word_embeddings")
    body = branch(
        "model", leaf("embed_tokens", Embedding(vocab + EXTRA_ROWS, width)),
        stack("layers", mllama_layers(c, width)), leaf("norm", Norm(width), place="final"),
    )  # fmt: skip
    root = branch("", body, *head_nodes(width, vocab, tied=False))
    return Model("", c.model_type, root, streams=brought_streams(), notes=(BROUGHT,))


FAMILIES = {"mllama_text_model": mllama_text}
