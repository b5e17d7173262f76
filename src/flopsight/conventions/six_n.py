"""6N: the rule of thumb."""

from __future__ import annotations

from flopsight.conventions.convention import ALL, Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """All parameters, no attention."""
    return weights(v, "linear", "router", "head", "embedding", "positions", "small", "idle")


CONVENTION = Convention(
    "6n",
    "6N",
    "6·N (2·N forward)",
    "Kaplan et al. 2020, arXiv 2001.08361; Hoffmann et al. 2022, arXiv 2203.15556",
    terms,
    ALL,
)
