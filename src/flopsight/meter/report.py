"""What a meter has found: one value that prints itself, and the names under which its numbers are logged."""

from __future__ import annotations

from statistics import median
from typing import Final

import msgspec

from flopsight.units import format_si

NAMES: Final = {
    "flopsight/mfu": "FLOPs that the model requires, over time and peak",
    "flopsight/hfu": "FLOPs that were executed (recompute again), over time and peak",
    "flopsight/mbu": "bytes of products and attention, over time and memory bandwidth (inference)",
    "flopsight/attainable": "seconds of the roofline of every op, over the seconds taken",
    "flopsight/tokens_per_second": "tokens of this rank a second of step time",
    "flopsight/step_seconds": "median seconds of an ordinary step",
    "flopsight/outside_seconds": "seconds between two steps, on average: data, evaluation, logging, checkpoints",
    "flopsight/tflops": "required FLOPs a second on this rank, in units of 10^12",
    "flopsight/global_mfu": "required FLOPs of all ranks over the sum of their peaks",
    "flopsight/ranks": "ranks in the global numbers",
}
"""The names in logs, and what they mean."""


class MeterReport(msgspec.Struct, kw_only=True, frozen=True):
    """Everything about a loop so far; numbers that nobody can know are None, and `notes` say why.

    phase             "training" or "inference"
    steps, ordinary   in all, and those that the rates are taken from
    odd               steps left out of the rates, by cause: warm-up, counted, compiled, slow
    step_seconds      median of ordinary steps; `spread` is (90th - 10th percentile) / median
    flops, full_square, executed   of one ordinary step on this rank, on average
    attainable        seconds of the roofline of every op over seconds taken
    overall_mfu       the same over all time since the first step after warm-up, what lies outside of steps included
    lost_seconds      time outside of steps and in slow steps, in all
    """

    schema_version: int = 1
    phase: str
    device: str
    dtype: str
    peak: str
    steps: int
    ordinary: int
    odd: dict[str, int]
    step_seconds: float | None = None
    spread: float | None = None
    tokens_per_second: float | None = None
    flops: float | None = None
    full_square: float | None = None
    executed: float | None = None
    mfu: float | None = None
    hfu: float | None = None
    mbu: float | None = None
    attainable: float | None = None
    overall_mfu: float | None = None
    outside_seconds: float | None = None
    lost_seconds: float = 0.0
    calls_a_step: float = 1.0
    ranks: int = 1
    world: int = 1
    global_mfu: float | None = None
    global_flops: float | None = None
    uncounted: list[str] = []
    notes: list[str] = []

    def values(self) -> dict[str, float | int | str]:
        """The numbers that are known, by the names of logs."""
        known = {
            "flopsight/mfu": self.mfu, "flopsight/hfu": self.hfu, "flopsight/mbu": self.mbu,
            "flopsight/attainable": self.attainable, "flopsight/tokens_per_second": self.tokens_per_second,
            "flopsight/step_seconds": self.step_seconds, "flopsight/outside_seconds": self.outside_seconds,
            "flopsight/tflops": _tflops(self), "flopsight/global_mfu": self.global_mfu if self.world > 1 else None,
            "flopsight/ranks": self.ranks if self.world > 1 else None,
        }  # fmt: skip
        return {name: value for name, value in known.items() if value is not None}

    def to_json(self) -> str:
        """As JSON."""
        return msgspec.json.encode(self).decode()

    def __str__(self) -> str:
        return "\n".join([headline(self), *details(self)])


def _tflops(r: MeterReport) -> float | None:
    return r.flops / r.step_seconds / 1e12 if r.flops and r.step_seconds else None


def headline(r: MeterReport) -> str:
    """The answer in one line."""
    if r.step_seconds is None:
        return f"{r.steps} {r.phase} steps on {r.device}: too few to say anything ({_odd(r)})."
    parts = [f"{r.phase}, {r.step_seconds:.4g} s a step"]
    if r.tokens_per_second is not None:
        parts.append(f"{r.tokens_per_second:,.0f} tokens/s")
    if r.mfu is not None:
        parts.append(f"MFU {r.mfu:.1%}, HFU {r.hfu:.1%} of {r.peak}")
    elif r.flops:
        parts.append(f"{format_si(r.flops / r.step_seconds, 'FLOP/s')} required, no MFU: {r.peak}")
    if r.mbu is not None and r.phase == "inference":
        parts.append(f"MBU {r.mbu:.1%}")
    return "; ".join(parts) + "."


def details(r: MeterReport) -> list[str]:
    """What stands below it."""
    return [line for line in (_work(r), _time(r), _global(r), _missing(r), *r.notes) if line]


def _work(r: MeterReport) -> str:
    if not r.flops:
        return ""
    text = (
        f"A step requires {format_si(r.flops, 'FLOP')} ({format_si(r.full_square or 0, 'FLOP')} with full squares) "
        f"and executes {format_si(r.executed or 0, 'FLOP')} in {r.dtype}"
    )
    if r.attainable is not None and r.attainable > 1:
        return text + "; its ops took less than their unfused roofline: something is fused."
    if r.attainable is not None:
        return text + f"; op by op its roofline is {r.attainable:.0%} of the time taken."
    return text + "."


def _time(r: MeterReport) -> str:
    text = f"{r.ordinary} ordinary steps of {r.steps} ({_odd(r)})"
    if r.outside_seconds:
        text += f"; {r.outside_seconds:.3g} s between two steps"
    if r.lost_seconds:
        text += f"; {r.lost_seconds:.3g} s lost outside and in slow steps"
    if r.overall_mfu is not None:
        text += f"; MFU of the whole time {r.overall_mfu:.1%}"
    return text + "."


def _odd(r: MeterReport) -> str:
    return ", ".join(f"{count} {why}" for why, count in r.odd.items()) or "none left out"


def _global(r: MeterReport) -> str:
    if r.world == 1:
        return ""
    mfu = "" if r.global_mfu is None else f", MFU {r.global_mfu:.1%} of their peaks together"
    return (
        f"{r.ranks} of {r.world} ranks reported{mfu}; a step requires {format_si(r.global_flops or 0, 'FLOP')} in all."
    )


def _missing(r: MeterReport) -> str:
    return f"Not counted: {', '.join(r.uncounted)}." if r.uncounted else ""


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """Median, and (90th - 10th percentile) / median."""
    ordered = sorted(seconds)
    middle = median(ordered)
    last = len(ordered) - 1
    return middle, (ordered[round(0.9 * last)] - ordered[round(0.1 * last)]) / middle if middle else 0.0
