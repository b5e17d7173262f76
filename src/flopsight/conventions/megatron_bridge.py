"""Megatron-Bridge, which adds windows to Megatron-LM's count."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View
from flopsight.parts.attention import AttentionCore
from flopsight.parts.compressed import WindowAndEntries
from flopsight.parts.mamba2 import StateSpaceDual


def windowed(v: View) -> int:
    """Forward attention a token: half the square, or S·W - W²/2 where a window is shorter than the sequence."""
    total = 0
    for a in v.attention:
        w = min(a.window or v.seq, v.seq)
        total += 2 * a.width * a.times * (2 * v.seq * w - w * w)
    return total // (2 * v.seq)


def terms(v: View) -> Terms:
    """Multiplied weights without the router, causal and windowed attention, Mamba as if it were 2h wide."""
    return weights(v, "linear", "head") | {"attention": v.passes * windowed(v)} | mamba(v)


def mamba(v: View) -> dict[str, int]:
    """What Mamba-2 layers add: 7·2h·n for the scan, and their projections counted 2h wide whatever their heads.

    In and out projections hold 3·h·d_in weights between them; the count takes d_in = 2h. The matrix that joins
    embedding and hidden state before a further-token layer (2h -> h) is not counted in such models.
    """
    layers = [(one.part, one.times) for one in v.book.leaves if isinstance(one.part, StateSpaceDual)]
    if not layers:
        return {}
    wide = 2 * v.width
    scan = sum(7 * wide * part.states * times for part, times in layers)
    extra = sum(6 * v.width * (wide - part.heads * part.width) * times for part, times in layers)
    joined = sum(2 * 2 * v.width**2 * one.times for one in v.book.leaves if one.path.endswith("eh_proj"))
    return {"scan": v.passes * scan, "wider projections": v.passes * extra, "joining matrix": -v.passes * joined}


def known(v: View) -> bool:
    """Whether the count is known for this model: how it counts compressed attention is not."""
    cores = [one.part for one in v.book.leaves if isinstance(one.part, AttentionCore)]
    return not any(isinstance(core.mask, WindowAndEntries) for core in cores)


CONVENTION = Convention(
    "megatron-bridge",
    "Megatron-Bridge, NeMo",
    "6·(Nm − router) + 6·H·D·Σ (2·W − W²/S)",
    "NVIDIA-NeMo/Megatron-Bridge:src/megatron/bridge/training/utils/flop_utils.py",
    terms,
    note="Mamba-2 layers are counted as if their inner width were 2h.",
    applies=known,
)
