"""OLMo-core's num_flops_per_token."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Parameters of every module but the embedding, and a rectangle of S by min(W, S)."""
    named = weights(v, "linear", "router", "head", "small")
    return named | {"attention": v.passes * v.square(windows=True)}


CONVENTION = Convention(
    "olmo",
    "OLMo-core",
    "6·(N_act − E) + 12·H·D·Σ min(S, W)",
    "allenai/OLMo-core:src/olmo_core/nn num_flops_per_token",
    terms,
)
