"""Fused attention of `jax.nn.dot_product_attention(implementation="cudnn")`: scores 2·pairs·h·e and mix 2·pairs·h·v.

required     forward over the pairs that the causal flag and the window let through; backward twice that
full_square  the same over all queries times all keys
executed     what the flags let through; the backward rebuilds the scores: 2.5 times the forward (Dao 2023,
             arXiv 2307.08691)
"""

from __future__ import annotations

from typing import Any, Final

from flopsight.counted import Flops
from flopsight.jax.band import Band
from flopsight.jax.registry import Call, formula

_MASKS: Final = {"NO_MASK": False, "CAUSAL": True}


@formula(
    "dot_product_attention_fwd", "dot_product_attention_fwd_wrapper", "dot_product_attention_fp8_fwd",
    "dot_product_attention_fp8_fwd_wrapper",
)  # fmt: skip
def attention(call: Call) -> Flops:
    """Forward: query, key and value are the first operands."""
    allowed, square, scores, mix = _pairs(call)
    return Flops((scores + mix) * allowed, (scores + mix) * square, (scores + mix) * allowed)


@formula(
    "dot_product_attention_bwd", "dot_product_attention_bwd_wrapper", "dot_product_attention_fp8_bwd",
    "dot_product_attention_fp8_bwd_wrapper",
)  # fmt: skip
def attention_backward(call: Call) -> Flops:
    """Backward: dV and dP, dQ and dK, and the scores once more, which only executed holds."""
    allowed, square, scores, mix = _pairs(call)
    twice = 2 * (scores + mix)
    return Flops(twice * allowed, twice * square, (twice + scores) * allowed)


def _pairs(call: Call) -> tuple[int, int, int, int]:
    """(allowed pairs of a batch, all pairs, FLOPs of a pair's scores, of its mix over all heads)."""
    query, key, value = (call.shape(position) for position in range(3))
    # BTNH is layout 0, BNTH layout 1
    heads, length = (1, 2) if call.params["layout"] else (2, 1)
    queries, keys = query[length], key[length]
    allowed = queries * keys
    band = _band(call)
    if band is not None:
        allowed = band.area(queries, keys)
    return query[0] * allowed, query[0] * queries * keys, 2 * query[heads] * query[3], 2 * query[heads] * value[3]


def _band(call: Call) -> Band | None:
    """The causal mask (top left) and the window of w keys, the query's own in."""
    mask = call.params.get("mask_type")
    causal = bool(call.params.get("use_causal_mask")) or _MASKS.get(_name(mask), "CAUSAL" in _name(mask))
    window = call.params.get("sliding_window_length")
    if "PADDING" in _name(mask):
        call.note("the lengths of a padding mask are values, unknown while tracing: whole rows were taken")
    if not causal and window is None:
        return None
    return Band(0, 1, 0, None if window is None else int(window) - 1)


def _name(mask: Any) -> str:
    return str(getattr(mask, "name", mask))
