"""Kernels of a replayed graph get the ops that were captured: by order, checked by name.

While a graph is captured, calls launch nothing: they become its nodes, and the profile of that moment holds their ops
and shapes. A replay runs the nodes under one call. Where both were profiled (in one file or in two), the n-th kernel
of a replay is the n-th launch of a capture of the same length; where the captured launches carry their kernels' names,
these must agree too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from flopsight.achieved.attribution import nearest
from flopsight.trace import Host, Trace
from flopsight.trace.columns import CALL, OP, PYTHON, RANGE, Ints
from flopsight.trace.nesting import parents

BEGIN: Final = ("streambegincapture", "graphbegincapture")
END: Final = ("streamendcapture",)
LAUNCHES: Final = (
    "launchkernel", "launchcooperativekernel", "modulelaunch", "memcpyasync", "memsetasync", "memcpydtod",
    "memcpyhtod", "memcpydtoh", "memsetd",
)  # fmt: skip
REPLAY: Final = "graphlaunch"
AGREE: Final = 0.98
"""Share of names that must be the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """One captured graph: the host rows of its launches in order, and the kernels' names where they were recorded."""

    trace: Trace
    calls: Ints
    names: tuple[str, ...]


def captures(trace: Trace) -> list[Capture]:
    """Every graph that was captured while this profile ran."""
    host = trace.host
    lows = [name.lower() for name in (*trace.names, "")]
    calls = host.kind == CALL
    begins, ends, launches = (
        calls & np.array([any(w in n for w in words) for n in lows], bool)[host.name]
        for words in (BEGIN, END, LAUNCHES)
    )
    found = []
    for row in np.flatnonzero(begins).tolist():
        thread = host.thread == host.thread[row]
        later = np.flatnonzero(ends & thread & (host.start > host.start[row]))
        stop = int(host.start[later].min()) if len(later) else int(np.iinfo(np.int64).max)
        mine = np.flatnonzero(launches & (host.start > host.start[row]) & (host.start < stop))
        mine = mine[np.argsort(host.start[mine], kind="stable")]
        if len(mine):
            found.append(Capture(trace, mine, _names(trace, mine)))
    return found


def _names(trace: Trace, calls: Ints) -> tuple[str, ...]:
    launched = trace.host.launched[calls]
    return tuple(trace.names[n] for n in launched) if (launched >= 0).all() else ()


def replayed(trace: Trace, among: Sequence[Capture]) -> Trace:
    """The same trace, with the captured ops as the origin of the kernels that replayed them."""
    graphs = replay_rows(trace)
    if not graphs or not among:
        return trace
    origin = trace.kernels.origin.copy()
    unmatched = 0
    for rows in graphs:
        capture = _match(trace, rows, among)
        if capture is None:
            unmatched += len(rows)
            continue
        trace, shift = _with(trace, capture)
        origin[rows] = _ops(capture, shift)
    notes = trace.notes
    if unmatched:
        notes += (f"{unmatched:,} kernels of replayed graphs match no captured graph: their ops are not known.",)
    return replace(trace, kernels=replace(trace.kernels, origin=origin), notes=notes)


def replay_rows(trace: Trace) -> list[Ints]:
    """Kernel rows of every graph launch, in the order in which they ran."""
    host, kernels = trace.host, trace.kernels
    lows = np.array([REPLAY in name.lower() for name in (*trace.names, "")], bool)
    launches = np.unique(host.correlation[(host.kind == CALL) & lows[host.name] & (host.correlation >= 0)])
    mine = np.flatnonzero(np.isin(kernels.correlation, launches) & (kernels.kind != RANGE))
    if not len(mine):
        return []
    mine = mine[np.lexsort((kernels.start[mine], kernels.correlation[mine]))]
    cuts = np.flatnonzero(np.diff(kernels.correlation[mine])) + 1
    return np.split(mine, cuts)


def _match(trace: Trace, rows: Ints, among: Sequence[Capture]) -> Capture | None:
    """The one captured graph that this replay can be; None where there is none, or more than one."""
    fits = [one for one in among if len(one.calls) == len(rows)]
    named = [one for one in fits if one.names]
    if named:
        ran = [trace.names[n] for n in trace.kernels.name[rows]]
        fits = [one for one in named if _alike(ran, one.names) >= AGREE]
    return fits[0] if len(fits) == 1 or (fits and _same(fits)) else None


def _alike(ran: Sequence[str], captured: Sequence[str]) -> float:
    same = sum(_plain(a) == _plain(b) for a, b in zip(ran, captured, strict=True))
    return same / len(ran)


def _plain(name: str) -> str:
    return name.removesuffix(".kd").removesuffix(" (.kd)").strip()


def _same(fits: Sequence[Capture]) -> bool:
    """Whether captures of one program do the same work: equal signatures of their ops."""
    first = [_shapes(one) for one in fits]
    return all(one == first[0] for one in first)


def _shapes(one: Capture) -> list[Any]:
    ops = _ops(one, 0)
    host = one.trace.host
    return [(one.trace.names[host.name[o]], one.trace.signatures[host.signature[o]] if host.signature[o] >= 0 else None)
            if o >= 0 else None for o in ops.tolist()]  # fmt: skip


def _ops(capture: Capture, shift: int) -> Ints:
    host = capture.trace.host
    around = host.parent if (host.parent >= 0).any() else parents(host.start, host.end, host.thread)
    found = nearest(host, around, capture.calls, (OP,))
    return np.where(found >= 0, found + shift, -1)


def _with(trace: Trace, capture: Capture) -> tuple[Trace, int]:
    """The trace with the host rows of another profile behind its own, and where they begin."""
    other = capture.trace
    if other is trace or other.source in trace.marks.get("captures", {}):
        return trace, int(trace.marks.get("captures", {}).get(other.source, 0))
    if other.source == trace.source:
        return trace, 0
    shift = len(trace.host)
    host = _appended(trace, other)
    marks = dict(trace.marks)
    marks["captures"] = {**marks.get("captures", {}), other.source: shift}
    threads = trace.threads + tuple(f"captured: {t}" for t in other.threads)
    merged = replace(
        trace, host=host, threads=threads, names=trace.names + other.names,
        signatures=trace.signatures + other.signatures, marks=marks,
    )  # fmt: skip
    return merged, shift


def _appended(trace: Trace, other: Trace) -> Host:
    """Both hosts' rows; ranges of the other become Python rows, so that they mark no steps here."""
    mine, theirs = trace.host, other.host
    moved = {
        "name": theirs.name + len(trace.names), "thread": theirs.thread + len(trace.threads),
        "signature": np.where(theirs.signature >= 0, theirs.signature + len(trace.signatures), -1),
        "kind": np.where(np.isin(theirs.kind, (OP, CALL, PYTHON)), theirs.kind, PYTHON),
        "correlation": np.full(len(theirs), -1), "external": np.full(len(theirs), -1),
        "launched": np.where(theirs.launched >= 0, theirs.launched + len(trace.names), -1),
        "parent": np.full(len(theirs), -1),
    }  # fmt: skip
    columns = {
        name: np.concatenate((getattr(mine, name), moved.get(name, getattr(theirs, name))))
        for name in Host.__dataclass_fields__
    }
    columns["parent"] = np.full(len(mine) + len(theirs), -1)
    return Host.of(**columns)
