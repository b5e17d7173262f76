"""Ours with the layers' forward pass run again: what full activation checkpointing executes."""

from __future__ import annotations

from flopsight.conventions import exact
from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Exact, plus one more forward pass of everything but the head, which is not checkpointed."""
    head = weights(v, "head")["head"] // v.passes
    forward = (v.exact["weights"] + v.exact["attention"] + v.exact["recurrence"]) / v.passes - head
    return dict(exact.terms(v)) | {"recompute": forward}


CONVENTION = Convention(
    "recomputed",
    "exact with full recompute (HFU)",
    "exact + 2·(Nm − head) + forward attention",
    "Chowdhery et al. 2022, arXiv 2204.02311, appendix B (hardware FLOPs utilization)",
    terms,
    note="The fused backward's own rebuilding of scores is not in it; the HFU printed above has it.",
)
