"""`Reading`: everything that one trace says, as plain values; a pure function of the trace.

Ranks are read by one process each: `reading_of` takes a trace and gives values that cross processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flopsight.achieved.attribution import Attribution, attribute
from flopsight.achieved.graphs import Capture, captures, replay_rows, replayed
from flopsight.achieved.ops import ModuleTime, NameTime, OpTime, module_times, name_times, op_times
from flopsight.achieved.threads import has_device, on_threads
from flopsight.achieved.timeline import DeviceTime, Labels, device_time, label
from flopsight.achieved.windows import Window, chosen, windows
from flopsight.achieved.work import Work, owners, work_of
from flopsight.counted import Flops
from flopsight.trace import Device, Trace, Unread
from flopsight.trace.columns import KERNEL, RANGE, Ints
from flopsight.witness import Testimony, testimonies

MOST_WINDOWS = 64
SERVED = "_generation_"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of kernel time in the windows; None where there is none.

    flops   done by an op whose matrix products are known, of the time of kernels that multiply matrices
    cost    with FLOPs or bytes
    bytes   with bytes
    op      with an op
    module  with a module
    """

    flops: float | None
    cost: float | None
    bytes: float | None
    op: float | None
    module: float | None


@dataclass(frozen=True, slots=True)
class SeriesTotal:
    """One counter: its sum over kernels, or its last value and mean over time; None where it was not collected."""

    name: str
    unit: str
    labels: dict[str, str]
    over: str
    value: float | None
    known: float
    why: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One trace.

    device_side  whether devices were recorded; else the time is that of threads
    whole        each device over its whole activity in the file
    windows      the steps that were looked at
    times        each device in each window (at most 64 windows; `total` holds all)
    total        each device over all windows: parts add up to the sum of their lengths
    flops        of matrix products in the windows, from recorded shapes, by dtype
    elementwise  operations of the vector engine that are modelled
    ops, modules, names   heaviest first
    marks_of_steps  names that a server gave its steps, with the lengths of what they held
    counters, series   how many hardware counters the file holds, and each with its value
    captured        graphs that were captured while this ran; `replayed` kernels of graphs whose ops are not known
    """

    source: str
    format: str
    device_side: bool
    timeline: bool
    devices: tuple[Device, ...]
    rank: int | None
    world: int | None
    whole: tuple[DeviceTime, ...]
    windows: tuple[Window, ...]
    times: tuple[tuple[DeviceTime, ...], ...]
    total: tuple[DeviceTime, ...]
    flops: dict[str, Flops]
    elementwise: int
    coverage: Coverage
    ops: tuple[OpTime, ...]
    modules: tuple[ModuleTime, ...]
    names: tuple[NameTime, ...]
    testimonies: tuple[Testimony, ...]
    counters: int
    series: tuple[SeriesTotal, ...]
    marks_of_steps: tuple[str, ...]
    captured: int
    replayed: int
    marks: dict[str, object]
    notes: tuple[str, ...]
    unread: tuple[Unread, ...]


def reading_of(trace: Trace, step: str | None = None, captured: Sequence[Capture] = ()) -> Reading:
    """Read one trace's time and work.

    step      a step's number or name; None for all of them
    captured  graphs that other profiles captured, whose ops the replays of this one did

    Raises UsageError for a step that the trace does not have.
    """
    trace = replayed(trace, [*captures(trace), *captured])
    device_side = has_device(trace)
    seen = trace if device_side or not len(trace.host) else on_threads(trace)
    found = attribute(seen)
    work = work_of(seen, found)
    owner = owners(seen, found, work)
    labels = label(seen, work, owner)
    every = windows(seen, found)
    looked = chosen(every, step)
    return _read(seen, device_side, found, work, owner, labels, looked)


def _read(
    trace: Trace, device_side: bool, found: Attribution, work: Work, owner: Ints, labels: Labels,
    looked: tuple[Window, ...],
) -> Reading:  # fmt: skip
    used = [int(d) for d in np.unique(trace.kernels.device[trace.kernels.kind != RANGE])] if trace.timeline else []
    whole = tuple(device_time(trace, found, labels, _activity(trace, device), device) for device in used)
    times = tuple(
        tuple(device_time(trace, found, labels, window, device) for device in used) for window in looked[:MOST_WINDOWS]
    )
    inside = _inside(trace, looked)
    ops = op_times(trace, found, work, owner, inside)
    return Reading(
        source=trace.source, format=trace.format, device_side=device_side, timeline=trace.timeline,
        devices=trace.devices, rank=trace.rank, world=trace.world, whole=whole, windows=looked, times=times,
        total=tuple(_sum([row[i] for row in times]) for i in range(len(used))) if times else (),
        flops=_flops(ops), elementwise=sum(o.elementwise * o.calls for o in ops),
        coverage=_coverage(trace, found, work, owner, labels, inside), ops=tuple(ops),
        modules=tuple(module_times(trace, found, work, owner, inside)),
        names=tuple(name_times(trace, labels, owner, inside)),
        testimonies=testimonies(trace), counters=len(trace.metrics) + len(trace.series), series=tuple(_totals(trace)),
        marks_of_steps=tuple(n for n in trace.names if SERVED in n),
        captured=len(captures(trace)), replayed=_unknown_replays(trace),
        marks=dict(trace.marks), notes=trace.notes, unread=trace.unread,
    )  # fmt: skip


def _totals(trace: Trace) -> Iterator[SeriesTotal]:
    """Counters of kernels added up; those over time by their mean, or their only value."""
    for metric in trace.metrics:
        known = metric.values[~np.isnan(metric.values)]
        share = len(known) / len(metric.values) if len(metric.values) else 0.0
        value = None if not len(known) else float(known.mean() if metric.unit == "%" else known.sum())
        yield SeriesTotal(metric.name, metric.unit, {}, "kernels", value, share, "")
    for one in trace.series:
        known = one.values[~np.isnan(one.values)]
        over = "time" if len(one.values) > 1 else "run"
        share = len(known) / len(one.values) if len(one.values) else 0.0
        yield SeriesTotal(
            one.name, one.unit, dict(one.labels), over, float(known.mean()) if len(known) else None, share, one.why
        )


def _unknown_replays(trace: Trace) -> int:
    return sum(int((trace.kernels.origin[rows] < 0).sum()) for rows in replay_rows(trace))


def _activity(trace: Trace, device: int) -> Window:
    """From the first start to the last end of a device's activities."""
    kernels = trace.kernels
    mine = (kernels.device == device) & (kernels.kind != RANGE) & kernels.timed
    if not mine.any():
        return Window("whole file", 0, 0, marked=False)
    return Window("whole file", int(kernels.start[mine].min()), int(kernels.end[mine].max()), marked=False)


def _inside(trace: Trace, looked: Sequence[Window]) -> Ints:
    """Kernels that begin in one of the windows; all of them where the file has no clock."""
    kernels = trace.kernels
    if not trace.timeline:
        return np.asarray(kernels.kind == KERNEL)
    inside = np.zeros(len(kernels), bool)
    for window in looked:
        inside |= (kernels.start >= window.start) & (kernels.start < window.end)
    return np.asarray(inside & (kernels.kind != RANGE))


def _sum(times: Sequence[DeviceTime]) -> DeviceTime:
    parts: dict[str, int] = {}
    streams: dict[int, int] = {}
    for one in times:
        for name, n in one.parts.items():
            parts[name] = parts.get(name, 0) + n
        for stream, n in one.streams.items():
            streams[stream] = streams.get(stream, 0) + n
    return DeviceTime(
        device=times[0].device, window=sum(t.window for t in times), parts=parts, busy=sum(t.busy for t in times),
        communication=sum(t.communication for t in times),
        hidden={key: sum(t.hidden[key] for t in times) for key in ("communication", "copies")},
        kernels=sum(t.kernels for t in times), kernel_sum=sum(t.kernel_sum for t in times), streams=streams,
        untimed=sum(t.untimed for t in times), talking=sum(t.talking for t in times),
    )  # fmt: skip


def _flops(ops: Sequence[OpTime]) -> dict[str, Flops]:
    found: dict[str, Flops] = {}
    for one in ops:
        if one.flops.executed:
            found[one.dtype] = found.get(one.dtype, Flops(0, 0, 0)) + one.flops
    return found


def _coverage(
    trace: Trace, found: Attribution, work: Work, owner: Ints, labels: Labels, inside: Ints
) -> Coverage:  # fmt: skip
    from flopsight.achieved.attribution import modules
    from flopsight.achieved.timeline import MULTIPLIES

    kernels = trace.kernels
    computes = inside & (labels.kind >= 0)
    duration = np.where(computes, kernels.duration, 0)
    kinds = np.append(work.kind, -1)[owner]
    products = np.array([bool(c.flops.executed) for c in work.kinds] + [False], bool)[kinds]
    moved = np.array([c.reads >= 0 and c.writes >= 0 for c in work.kinds] + [False], bool)[kinds]
    multiplies = computes & (np.isin(labels.kind, MULTIPLIES) | products)
    owned = modules(trace, found) if len(trace.host) else np.full(0, -1)
    placed = np.append(owned, -1)[found.op] >= 0

    def share(of: Ints, among: Ints) -> float | None:
        whole = int(duration[among].sum())
        return float(duration[of & among].sum() / whole) if whole else None

    return Coverage(
        share(products, multiplies), share(kinds >= 0, computes), share(moved, computes),
        share(found.op >= 0, computes), share(placed, computes),
    )  # fmt: skip
