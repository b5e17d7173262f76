"""torchtitan in April 2024, before the input embedding was left out."""

from __future__ import annotations

from flopsight.conventions import torchtitan
from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """All parameters, the looked-up embedding too, and the whole square."""
    return dict(torchtitan.terms(v)) | weights(v, "embedding")


CONVENTION = Convention(
    "torchtitan-2024",
    "torchtitan in April 2024",
    "6·N_act + 12·L·H·D·S",
    "pytorch/torchtitan:docs/performance.md, first table",
    terms,
    note="Later versions leave the input embedding out (torchtitan).",
)
