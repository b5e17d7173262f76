"""PaLM, appendix B: the formula most papers quote."""

from __future__ import annotations

from flopsight.conventions.convention import ALL, Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """All parameters, and the whole score square."""
    named = weights(v, "linear", "router", "head", "embedding", "positions", "small", "idle")
    return named | {"attention": v.passes * v.square()}


CONVENTION = Convention(
    "palm",
    "PaLM appendix B",
    "6·N + 12·L·H·Q·T",
    "arXiv 2204.02311, appendix B",
    terms,
    ALL,
    note="N is every parameter; for experts that is far more than a token uses.",
)
