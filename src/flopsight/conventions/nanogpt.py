"""nanoGPT's estimate_mfu."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """All parameters but the position table, and the whole score square."""
    named = weights(v, "linear", "router", "head", "embedding", "small", "idle")
    return named | {"attention": v.passes * v.square()}


CONVENTION = Convention(
    "nanogpt",
    "nanoGPT",
    "6·(N − positions) + 12·L·H·Q·T",
    "karpathy/nanoGPT:model.py estimate_mfu",
    terms,
    peak=312_000_000_000_000,
    note="Divides by an A100's 312 TFLOP/s whatever the device.",
)
