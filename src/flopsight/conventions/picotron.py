"""picotron's get_mfu."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """All parameters, and attention over the longest position the model allows instead of the real length."""
    longest = v.book.model.context or v.seq
    named = weights(v, "linear", "router", "head", "embedding", "positions", "small", "idle")
    return named | {"attention": v.passes * 4 * v.layers * v.width * longest}


CONVENTION = Convention(
    "picotron",
    "picotron",
    "6·N + 12·L·h·max_position",
    "huggingface/picotron:picotron/utils.py get_mfu",
    terms,
    peak=989_500_000_000_000,
    note="Divides by 989.5 TFLOP/s whatever the device.",
)
