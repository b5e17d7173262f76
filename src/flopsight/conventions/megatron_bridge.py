"""Megatron-Bridge, which adds windows to Megatron-LM's count."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def windowed(v: View) -> int:
    """Forward attention a token: half the square, or S·W - W²/2 where a window is shorter than the sequence."""
    total = 0
    for a in v.attention:
        w = min(a.window or v.seq, v.seq)
        total += 2 * a.width * a.times * (2 * v.seq * w - w * w)
    return total // (2 * v.seq)


def terms(v: View) -> Terms:
    """Multiplied weights without the router, causal and windowed attention."""
    return weights(v, "linear", "head") | {"attention": v.passes * windowed(v)}


CONVENTION = Convention(
    "megatron-bridge",
    "Megatron-Bridge, NeMo",
    "6·(Nm − router) + 6·H·D·Σ (2·W − W²/S)",
    "NVIDIA-NeMo/Megatron-Bridge:src/megatron/bridge/training/utils/flop_utils.py",
    terms,
)
