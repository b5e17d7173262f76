"""LLaMA-Factory's cal_mfu."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Query and output as h x h, key and value in proportion, one expert, no router, half the head where it is tied."""
    head = weights(v, "head")["head"]
    attention = sum(a.times * (2 * v.width**2 + 2 * v.width**2 * a.kv_heads // a.heads) for a in v.attention)
    return {
        "linear": 2 * v.passes * (attention + _feed_forward(v)),
        "head": head // 2 if v.tied else head,
        "attention": v.passes * 4 * v.layers * v.width * v.seq,
    }


def _feed_forward(v: View) -> int:
    """Three matrices a layer: of one expert where there are experts, else of the dense block."""
    if v.experts:
        return sum(3 * part.width * part.inner * times for part, times in v.experts)
    return v.feed_forward


CONVENTION = Convention(
    "llama-factory",
    "LLaMA-Factory",
    "3·(2·(N of one expert) + V·h·(1 tied, 2 untied) + 4·L·h·S)",
    "hiyouga/LLaMA-Factory:scripts/stat_utils/cal_mfu.py",
    terms,
    note="Where heads x head width differs from h it is further off.",
)
