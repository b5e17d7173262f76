"""Levanter's lm_flops_per_token."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Multiplied weights, the whole square, and three operations a score for the mask."""
    masked = v.passes * 3 * v.seq * sum(a.heads * a.times for a in v.attention)
    return weights(v, "linear", "router", "head") | {"attention": v.passes * v.square(), "mask": masked}


CONVENTION = Convention(
    "levanter",
    "Levanter",
    "3·(2·Nm + 4·L·H·D·S + 3·L·S·H)",
    "stanford-crfm/levanter:src/levanter/utils/flop_utils.py",
    terms,
)
