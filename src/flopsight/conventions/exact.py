"""Ours: what the model requires, nothing else."""

from __future__ import annotations

from flopsight.conventions.convention import ALL, Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Every multiplied weight once, the causal (or windowed) area of attention, recurrent state."""
    named = weights(v, "linear", "router", "head")
    rest = v.exact["weights"] - sum(named.values())
    return named | {"other matmuls": rest, "attention": v.exact["attention"], "recurrence": v.exact["recurrence"]}


CONVENTION = Convention(
    "exact",
    "exact (required FLOPs)",
    "6·Nm + 3·(causal or windowed attention) + 3·(recurrent state)",
    "flopsight",
    terms,
    ALL,
    note="Active experts, router and head in; embedding lookup, padding and recompute out.",
)
