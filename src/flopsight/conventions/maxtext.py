"""MaxText's calculate_tflops_training_per_device."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.megatron_bridge import windowed
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Multiplied weights with the router, causal and exactly windowed attention."""
    return weights(v, "linear", "router", "head") | {"attention": v.passes * windowed(v)}


def old_terms(v: View) -> Terms:
    """The same before July 2025: the whole square."""
    return weights(v, "linear", "router", "head") | {"attention": v.passes * v.square()}


CONVENTION = Convention(
    "maxtext",
    "MaxText",
    "6·Nm + 6·L·H·D·S; local layers 4·(S·W − W²/2)",
    "AI-Hypercomputer/maxtext:src/maxtext/utils/maxtext_utils.py",
    terms,
    note="Since July 2025; before, the whole score square (maxtext-2024).",
)
OLD = Convention(
    "maxtext-2024",
    "MaxText before July 2025",
    "6·Nm + 12·L·H·D·S",
    "google/maxtext:MaxText/maxtext_utils.py",
    old_terms,
)
