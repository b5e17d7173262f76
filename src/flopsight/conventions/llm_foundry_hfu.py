"""llm-foundry's HFU: its model FLOPs and a third more where activations are checkpointed."""

from __future__ import annotations

from fractions import Fraction

from flopsight.conventions import llm_foundry
from flopsight.conventions.convention import Convention, Terms
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Everything again in the forward pass, the head too: 4/3 of the model FLOPs."""
    counted = llm_foundry.terms(v)
    return dict(counted) | {"recompute": Fraction(sum(counted.values())) / 3}


CONVENTION = Convention(
    "llm-foundry-hfu",
    "llm-foundry (MPT), hardware FLOPs",
    "4/3·(6·N_act + 12·L·h·S)",
    "mosaicml/llm-foundry:scripts/train/benchmarking/collect_results.py",
    terms,
    note="An HFU, for runs with activation checkpointing.",
)
