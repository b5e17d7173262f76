"""Memory of Megatron-LM training: Korthikanti et al. 2022, arXiv 2205.05198, section 4 and equations 1 to 6."""

from __future__ import annotations

from typing import Final

from flopsight.validate.arithmetic.problem import NUMBER, Problem, Rule

GIB: Final = 2**30
GB: Final = 1e9


def stages(p: Problem) -> float:
    """Micro-batches of the first pipeline stage in flight, in units of the whole model: 1 + (p-1)/(p·m) interleaved.

    Without interleaving the first stage holds p micro-batches of L/p layers, which is the whole model once.
    """
    depth, chunks = p.get("pp") or 1, p.get("interleave") or 1
    return 1.0 if chunks == 1 else 1 + (depth - 1) / (depth * chunks)


def per_layer(p: Problem) -> float | None:
    """Bytes a layer over s·b·h: 34 + 5·a·s/h and what parallelism and recomputation leave of it."""
    t, heads, seq, width = p.get("tp") or 1, p.get("heads", "a"), p.get("s"), p.get("d", "h")
    if p.any("full recompute|full activation recompute|recompute everything"):
        return 2 / t if _sequence_parallel(p) else 2.0
    selective, split = p.any(r"selective"), _sequence_parallel(p)
    if not selective and (not heads or not seq or not width):
        return None
    scores = 0.0 if selective else 5 * (heads or 0) * (seq or 0) / (width or 1) / t
    return scores + (34 / t if split else 10 + 24 / t)


def _sequence_parallel(p: Problem) -> bool:
    return p.any("sequence paralleli[sz]") and not p.any("no sequence paralleli", "without sequence paralleli")


def _activations(p: Problem) -> float | None:
    """s·b·h·L · bytes a layer · stages."""
    sizes = p.times(p.get("s"), p.get("b"), p.get("d", "h"), p.get("L", "l"))
    if not p.any("activation memory") or sizes is None or p.unit not in ("GiB", "GB", "bytes"):
        return None
    layer = per_layer(p)
    return None if layer is None else sizes * layer * stages(p) / _scale(p)


def _scale(p: Problem) -> float:
    return {"GiB": GIB, "GB": GB}.get(p.unit, 1.0)


def _parameters(p: Problem) -> float | None:
    """12·L·h² parameters of the layers, split over tensor and pipeline parallelism."""
    if not p.any(r"param\w*\s?(\+|and) ?optimi[sz]er") or not p.given("L", "d") or p.unit not in ("GiB", "GB", "bytes"):
        return None
    each = p.get("bytes_per_param") or p.number(rf"{NUMBER} bytes?/param") or 18
    count = p.times(12, p.get("L"), p.get("d"), p.get("d")) or 0
    return count * each / ((p.get("tp") or 1) * (p.get("pp") or 1)) / _scale(p)


RULES = (
    Rule("activation memory", "s·b·h·L·(10 + 24/t + 5·a·s/(h·t)), 34/t with sequence parallelism", _activations),
    Rule("parameters and optimizer a device", "12·L·h²·bytes / (tp·pp)", _parameters),
)
