"""VeOmni's and nanotron's count."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Multiplied weights and the whole square."""
    return weights(v, "linear", "router", "head") | {"attention": v.passes * v.square()}


CONVENTION = Convention(
    "veomni",
    "VeOmni, nanotron",
    "6·Nm + 12·L·H·D·S",
    "ByteDance-Seed/VeOmni:veomni/utils/count_flops.py",
    terms,
)
