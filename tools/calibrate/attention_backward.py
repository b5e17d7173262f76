"""The fused backward kernel over the forward one, from bar charts that print both for the same shapes.

    rate of backward / rate of forward = share / (1 + lost / keys)

keys is the mean number of keys a query sees: a backward pass also reduces the mix's gradient and converts that of the
queries, work by the query and not by the pair. Two constants are fitted on one group of the charts (no mask, width 64,
FlashAttention 2 on H100) and judged on the groups whose forward the charts do not print: there the forward is what the
fitted surfaces predict, so that the error is that of both passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import least_squares

SOURCE = "Dao-AILab/flash-attention assets/flash2_*_fwd_bwd_benchmark.png, flash3_fp16_fwd.png; 16k tokens, hidden 2048"
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
AHEAD = (282, 306, 318, 321, 322, 324)
BOTH = (215, 254, 274, 288, 294, 296)
"""TFLOP/s of forward, and of both passes at 3.5 times the FLOPs: H100, width 64, no mask."""
JUDGED = (
    ("a100_sxm", 128, False, 1.0, (1024, 2048, 4096, 8192, 16384), (173, 187, 196, 201, 203)),
    ("a100_sxm", 64, True, 1.0, LENGTHS, (88, 119, 140, 156, 165, 171)),
    ("h100_sxm", 64, True, 1.75, LENGTHS, (141, 192, 232, 257, 273, 284)),
)
"""System, width, causal, time of its forward over that of today's, lengths and TFLOP/s of both passes."""
HIDDEN, TOKENS = 2048, 16384

Ahead = Callable[[str, int, int, int, float, float], float]
"""Seconds of a forward pass: system, width, sequences, queries, FLOPs, bytes of queries, keys, values and mix."""


def backward(ahead: Ahead) -> dict[str, Any]:
    """The two constants, and the error on groups left out."""
    keys, fwd, both = (np.array(v, float) for v in (LENGTHS, AHEAD, BOTH))
    ratio = 2.5 / (3.5 / both - 1 / fwd) / fwd
    found = least_squares(lambda x: np.log(x[0] / (1 + x[1] / keys) / ratio), (0.9, 100.0)).x
    share, lost = round(float(found[0]), 3), round(float(found[1]), 0)
    errors = {}
    for system, width, causal, older, lengths, printed in JUDGED:
        off = [
            _both(ahead, system, width, causal, older, q, share, lost) / t - 1
            for q, t in zip(lengths, printed, strict=True)
        ]
        errors[f"{system} {width} {'causal' if causal else 'no mask'}"] = [round(float(v), 3) for v in off]
    fitted = np.abs(share / (1 + lost / keys) / ratio - 1)
    return {
        "source": SOURCE, "share": share, "lost": lost, "error_fitted": round(float(np.median(fitted)), 3),
        "left_out_over_printed_minus_1": errors,
        "note": "FlashAttention 2 on H100 is taken 1.75 times as long as today's forward, a published claim",
    }  # fmt: skip


def _both(
    ahead: Ahead, system: str, width: int, causal: bool, older: float, q: int, share: float, lost: float
) -> float:
    """Predicted TFLOP/s of both passes."""
    b, h = TOKENS // q, HIDDEN // width
    keys = q / 2 if causal else q
    flops = 4.0 * b * h * width * q * keys
    there = ahead(system, width, b, q, flops, 8.0 * TOKENS * HIDDEN)
    back = ahead(system, width, b, q, flops, 0.0) * 2.5 * (1 + lost / keys) / share
    return 3.5 * flops / ((there + back) * older) / 1e12
