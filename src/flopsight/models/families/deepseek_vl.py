"""DeepSeek-VL with one tower: SigLIP, two matrices, a Llama decoder."""

from __future__ import annotations

from flopsight.models.blocks.towers import tower
from flopsight.models.config import Config
from flopsight.models.families.composite import SEEN, compose, text_decoder
from flopsight.models.tree import Model, branch, leaf
from flopsight.parts.linear import Linear
from flopsight.parts.vector import activation


def deepseek_vl(c: Config) -> Model:
    """Every token of the tower becomes one of the text; the head is tied unless the file says otherwise."""
    text, vision = c.sub("text_config"), c.sub("vision_config")
    node, seen = tower(vision, "vision_model")
    width = text.int("hidden_size")
    aligner = branch(
        "aligner",
        leaf("linear1", Linear("projector", vision.int("hidden_size"), width, True)),
        leaf("activation", activation("gelu", width)),
        leaf("linear2", Linear("projector", width, width, True)),
        stream="vision",
    )
    notes = (SEEN,) if c.has("tie_word_embeddings") or not c.tied() else (SEEN, SILENT)
    return compose(c, text_decoder(c, text), node, aligner, streams=seen.streams(), notes=notes)


SILENT = "The file does not say whether the head is tied; it is taken so."

FAMILIES = {"deepseek_vl": deepseek_vl}
