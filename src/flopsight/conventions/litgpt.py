"""litgpt's estimate_flops, as Lightning users run it."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """All parameters; attention once with the trained ones (x3) and once more with the frozen ones (x2), of which
    there are none: five times the forward square."""
    named = weights(v, "linear", "router", "head", "embedding", "positions", "small", "idle")
    return named | {"attention": 5 * 4 * v.layers * v.width * v.seq}


CONVENTION = Convention(
    "litgpt",
    "litgpt (Lightning)",
    "3·(2·N + 4·L·h·S) + 2·(0 + 4·L·h·S)",
    "Lightning-AI/litgpt:litgpt/utils.py estimate_flops",
    terms,
)
