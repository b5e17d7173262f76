"""nanochat's estimate_flops."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Multiplied weights, and a rectangle of S by min(W, S) for each layer."""
    return weights(v, "linear", "router", "head") | {"attention": v.passes * v.square(windows=True)}


CONVENTION = Convention(
    "nanochat",
    "nanochat",
    "6·Nm + 12·H·D·Σ min(W, S)",
    "karpathy/nanochat:nanochat/gpt.py estimate_flops",
    terms,
)
