"""6N with the active parameters: how the utilization of a whole run is estimated from its GPU hours."""

from __future__ import annotations

from flopsight.conventions.convention import ALL, Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """The parameters one token uses, no attention."""
    return weights(v, "linear", "router", "head", "embedding", "positions", "small")


CONVENTION = Convention(
    "6n-active",
    "6N, active parameters",
    "6·N_act (2·N_act forward)",
    "Kaplan et al. 2020, arXiv 2001.08361, for experts as in DeepSeek-V3, arXiv 2412.19437",
    terms,
    ALL,
)
