"""torchtitan's get_nparams_and_flops."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Active parameters without the input embedding (a tied one is kept, as the head), and the whole square."""
    named = weights(v, "linear", "router", "head", "positions", "small")
    return named | {"attention": v.passes * v.square()}


CONVENTION = Convention(
    "torchtitan",
    "torchtitan",
    "6·(N_act − E) + 12·L·H·D·S",
    "pytorch/torchtitan:torchtitan/models/utils.py get_nparams_and_flops",
    terms,
    note="Windows are not applied.",
)
