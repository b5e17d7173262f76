"""Two readings -> what moved between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flopsight.achieved.ops import OpTime
from flopsight.achieved.peaks import Roofs
from flopsight.achieved.reading import Reading
from flopsight.report.build_trace import build, shapes
from flopsight.report.draw_time import time
from flopsight.report.trace_diff import MovedRow, SideRow, TraceDiffResult

MOST: Final = 40


def build_diff(a: Reading, b: Reading, roofs: Sequence[Roofs]) -> TraceDiffResult:
    """Everything that differs, the largest change first."""
    one, other = _side(a, roofs[0]), _side(b, roofs[1])
    parts, ops = _parts(a, b), _ops(a, b)
    return TraceDiffResult(
        verdict=_verdict(one, other, parts), a=one, b=other, parts=parts, ops=ops[:MOST],
        notes=_notes(a, b, one, other),
        next="flopsight trace A shows where its time went, and flopsight trace B the other's",
    )  # fmt: skip


def _side(reading: Reading, roof: Roofs) -> SideRow:
    result = build([reading], [roof])
    steps = _steps(reading)
    lengths = [sum(t.window for t in row) / max(1, len(row)) for row in reading.times]
    mean = sum(lengths) / len(lengths) if lengths else 0.0
    return SideRow(
        source=reading.source, device=result.device.name if result.device else "", steps=steps, step_us=mean / 1e3,
        spread=(max(lengths) - min(lengths)) / mean if len(lengths) > 1 and mean else None,
        flops=result.flops.executed // steps, mfu=result.utilization.mfu,
    )  # fmt: skip


def _steps(reading: Reading) -> int:
    return max(1, len(reading.windows))


def _parts(a: Reading, b: Reading) -> list[MovedRow]:
    mine, theirs = _by_step(a), _by_step(b)
    rows = [_moved(name, mine.get(name, []), theirs.get(name, [])) for name in dict.fromkeys((*mine, *theirs))]
    return sorted(rows, key=lambda r: -abs(r.change_us))


def _by_step(reading: Reading) -> dict[str, list[float]]:
    """{part: us in each step}."""
    names = dict.fromkeys(name for row in reading.times for t in row for name in t.parts)
    return {name: [sum(t.parts.get(name, 0) for t in row) / 1e3 for row in reading.times] for name in names}


def _moved(what: str, a: Sequence[float], b: Sequence[float]) -> MovedRow:
    first, second = (sum(x) / len(x) if x else 0.0 for x in (a, b))
    noise = max(max(a) - min(a), max(b) - min(b)) if len(a) > 1 and len(b) > 1 else None
    change = second - first
    return MovedRow(
        what=what, a_us=first, b_us=second, change_us=change, noise_us=noise,
        certain=None if noise is None else abs(change) > noise,
    )  # fmt: skip


def _ops(a: Reading, b: Reading) -> list[MovedRow]:
    mine, theirs = _keyed(a), _keyed(b)
    rows = []
    for key in dict.fromkeys((*mine, *theirs)):
        one, other = mine.get(key), theirs.get(key)
        first = one.duration / 1e3 / _steps(a) if one else 0.0
        second = other.duration / 1e3 / _steps(b) if other else 0.0
        rows.append(
            MovedRow(what=f"{key[0].removeprefix('aten::')} {key[1]} {key[2]}".strip(), a_us=first, b_us=second,
                     change_us=second - first, noise_us=None, certain=None, note=_note(a, b, one, other))
        )  # fmt: skip
    return sorted(rows, key=lambda r: -abs(r.change_us))


def _keyed(reading: Reading) -> Mapping[tuple[str, str, str], OpTime]:
    return {(one.op, shapes(one.signature), one.dtype): one for one in reading.ops}


def _note(a: Reading, b: Reading, one: OpTime | None, other: OpTime | None) -> str:
    if one is None or other is None:
        return "only in B" if one is None else "only in A"
    calls = (one.calls / _steps(a), other.calls / _steps(b))
    said = f"{calls[0]:g} -> {calls[1]:g} calls" if calls[0] != calls[1] else ""
    return said or ("another kernel" if one.kernel != other.kernel else "")


def _verdict(a: SideRow, b: SideRow, parts: Sequence[MovedRow]) -> str:
    if not a.step_us or not b.step_us:
        return "One of the two has no times on one clock; only ops are compared."
    ratio = b.step_us / a.step_us
    how = f"{1 - ratio:.1%} less" if ratio < 1 else f"{ratio - 1:.1%} more"
    spreads = [s for s in (a.spread, b.spread) if s is not None]
    known = len(spreads) == 2
    noisy = known and abs(ratio - 1) <= max(spreads)
    sure = (
        " (within the spread of the steps: noise)" if noisy else "" if known else " (one step: its noise is not known)"
    )
    most = parts[0] if parts else None
    cause = f"; most of it in {most.what} ({most.change_us:+,.0f} us)" if most and most.change_us and not noisy else ""
    return f"B takes {time(b.step_us / 1e6)} a step, A {time(a.step_us / 1e6)}: {how}{sure}{cause}."


def _notes(a: Reading, b: Reading, one: SideRow, other: SideRow) -> list[str]:
    notes = []
    if one.device != other.device:
        names = " and ".join(repr(side.device) if side.device else "a device without a name" for side in (one, other))
        notes.append(f"Different machines: {names}; names of kernels cannot be compared, ops and FLOPs can.")
    if one.flops != other.flops and (one.flops or other.flops):
        notes.append(f"The work differs: {one.flops:,} and {other.flops:,} executed FLOPs a step.")
    elif one.flops:
        notes.append(f"The same work: {one.flops:,} executed FLOPs a step.")
    if len(a.total) != len(b.total):
        notes.append(f"{len(a.total)} and {len(b.total)} devices.")
    return notes
