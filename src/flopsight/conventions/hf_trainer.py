"""transformers' Trainer: total_flos."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Parameters outside embedding modules: a tied head falls out with the embedding. No attention."""
    named = weights(v, "linear", "router", "small", "idle")
    return named if v.tied else named | weights(v, "head")


CONVENTION = Convention(
    "hf-trainer",
    "Hugging Face Trainer",
    "6·(N − embeddings)",
    "huggingface/transformers:src/transformers/modeling_utils.py floating_point_ops",
    terms,
    note="Multiplies by the elements of the main input: pixels or mel values for vision and audio.",
)
