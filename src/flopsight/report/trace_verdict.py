"""One sentence for a trace: what ran, what was achieved, and what took the rest."""

from __future__ import annotations

from collections.abc import Sequence

from flopsight.achieved.reading import Reading
from flopsight.report.numbers import format_si
from flopsight.report.trace import OneTrace, WitnessRow
from flopsight.units import format_si as si

USEFUL = ("gemm", "attention", "convolution", "moe", "scan")


def verdict(readings: Sequence[Reading], traces: Sequence[OneTrace]) -> str:
    """Of the first trace, and how many more there are."""
    first = _sentence(readings[0], traces[0])
    more = f" {len(traces)} traces; this is {_which(traces[0])}." if len(traces) > 1 else ""
    return first + more


def _which(one: OneTrace) -> str:
    return f"rank {one.rank}" if one.rank is not None else one.source


def _sentence(reading: Reading, one: OneTrace) -> str:
    if reading.counters and not one.kernels and not one.ops:
        return _counted(reading, one)
    what = f"{_device(reading, one)}, {_steps(reading, one)}"
    return f"{what}: {'; '.join(part for part in (_achieved(one), _loss(one)) if part)}."


def _counted(reading: Reading, one: OneTrace) -> str:
    """A file of counters alone."""
    names = ", ".join(dict.fromkeys(d.name for d in reading.devices if d.name))
    said = [f"{w.witness} {_said(w)}" for w in one.witnesses if w.value is not None]
    what = "; ".join(said[:3]) or "none of them tells FLOPs, bytes or busy cycles of a known kind"
    return f"{names or reading.format}: {reading.counters:,} counters; {what}."


def _said(w: WitnessRow) -> str:
    if w.value is None:
        return "unknown"
    return (
        f"{w.value:.1%}" if w.quantity == "active" else format_si(w.value, "FLOP" if w.quantity == "flops" else "B", 3)
    )


def _device(reading: Reading, one: OneTrace) -> str:
    if not reading.device_side:
        return "No device was recorded; threads"
    if one.device is None or not one.device.name:
        return "A device without a name"
    others = len(one.devices) - 1
    return one.device.name + (f" and {others} more" if others > 0 else "")


def _steps(reading: Reading, one: OneTrace) -> str:
    if not reading.timeline:
        kernels = one.device.kernels if one.device else 0
        return f"{kernels:,} kernels, {si(one.device.kernel_sum_us / 1e6 if one.device else 0, 's', 3)} in all"
    marked = [w for w in reading.windows if w.marked]
    length = format_si(one.utilization.window_us / 1e6, "s", 3)
    if not reading.windows:
        return "nothing timed"
    return f"{len(marked)} step{'s' if len(marked) != 1 else ''} in {length}" if marked else f"{length} of activity"


def _achieved(one: OneTrace) -> str:
    u = one.utilization
    if u.achieved_flops_per_s is None:
        busy = f"busy {u.busy:.0%} of it" if u.busy is not None and one.device_side else ""
        return ", ".join(part for part in (busy, f"no FLOPs ({u.why})" if u.why else "") if part)
    rate = format_si(u.achieved_flops_per_s, "FLOP/s", 3)
    if u.mfu is None:
        return f"{rate} achieved in {u.dtype}; {u.why}"
    peak = format_si(u.peak_flops_per_s or 0, "FLOP/s", 3)
    above = " (above the peak: the time or the peak is wrong)" if u.mfu > 1 else ""
    return f"{rate} achieved = {u.mfu:.1%} of {peak} dense {u.dtype} ({u.basis}){above}"


def _loss(one: OneTrace) -> str:
    """The largest share that is no matrix product."""
    rest = [p for p in one.parts if p.part not in USEFUL]
    if not rest or not one.parts:
        return ""
    worst = max(rest, key=lambda p: p.share)
    idle = sum(p.share for p in rest if p.part.startswith("idle"))
    said = f"{worst.share:.0%} {'' if worst.part.startswith('idle') else 'of the time is '}{worst.part}"
    return said + (f", idle {idle:.0%} in all" if worst.part.startswith("idle") or idle > 0.1 else "")
