"""Which time is looked at: the steps that a profiler or server marked, or the whole file."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from flopsight.achieved.attribution import Attribution
from flopsight.errors import UsageError
from flopsight.trace import Trace
from flopsight.trace.columns import HOST_RANGE, RANGE, Ints

MARKS: Final = (
    re.compile(r"^ProfilerStep#?\s*(\d+)$"),
    re.compile(r"^(?:train[_ ])?(?:step|iteration|iter)[_ #:=]*(\d+)$", re.IGNORECASE),
    re.compile(r"^step\[[A-Z]+ .*\]$"),
    re.compile(r"^(?:gpu_model_runner: )?execute_.*context_.*generation_"),
)
"""Names of steps, the most telling first; those of one pattern are taken, never two that nest."""


@dataclass(frozen=True, slots=True)
class Window:
    """One step.

    name        as the program marked it; "whole file" where there are no marks
    start, end  ns: from the first to the last activity of devices that the step launched; on threads where none was
    host        ns that the step took on its thread; 0 where the file does not mark it there
    marked      whether it is a step at all
    """

    name: str
    start: int
    end: int
    host: int = 0
    marked: bool = True

    @property
    def length(self) -> int:
        """ns."""
        return self.end - self.start


def windows(trace: Trace, found: Attribution) -> tuple[Window, ...]:
    """Every step that the file marks, in order of time, none over another; else all activity as one."""
    for mark in MARKS:
        right = np.array([bool(mark.match(n)) for n in (*trace.names, "")], bool)
        steps = _marked(trace, found, right) if right.any() else []
        if steps:
            return _apart(steps)
    return _whole(trace)


def chosen(found: tuple[Window, ...], step: str | None) -> tuple[Window, ...]:
    """The windows asked for: a step's number or name, or all of them (None, "all").

    Raises UsageError for a step that the file does not have.
    """
    if step is None or step == "all":
        return found
    right = tuple(w for w in found if step in (w.name, _number(w.name)))
    if not right:
        names = ", ".join(w.name for w in found[:12]) or "none"
        raise UsageError(f"The trace has no step {step!r}; its steps are {names}.")
    return right


def _number(name: str) -> str | None:
    matches = (mark.match(name) for mark in MARKS[:2])
    return next((match.group(1) for match in matches if match), None)


def _marked(trace: Trace, found: Attribution, right: Ints) -> list[Window]:
    host, kernels = trace.host, trace.kernels
    on_thread = np.flatnonzero((host.kind == HOST_RANGE) & right[host.name])
    if len(on_thread):
        return [_launched(trace, found, int(row)) for row in on_thread]
    on_device = np.flatnonzero((kernels.kind == RANGE) & right[kernels.name] & kernels.timed)
    return [
        Window(trace.names[kernels.name[i]], int(kernels.start[i]), int(kernels.end[i])) for i in on_device.tolist()
    ]


def _launched(trace: Trace, found: Attribution, row: int) -> Window:
    """A step by what it launched, wherever its own thread stood by then."""
    host, kernels = trace.host, trace.kernels
    start, end = int(host.start[row]), int(host.end[row])
    call = np.where(found.call >= 0, found.call, 0)
    begun = host.start[call]
    mine = (found.call >= 0) & (begun >= start) & (begun < end) & (kernels.kind != RANGE) & kernels.timed
    name = trace.names[host.name[row]]
    if not mine.any():
        return Window(name, start, end, end - start)
    return Window(name, int(kernels.start[mine].min()), int(kernels.end[mine].max()), end - start)


def _apart(steps: list[Window]) -> tuple[Window, ...]:
    """In order of time, each beginning where the one before ends at the earliest."""
    found: list[Window] = []
    for one in sorted(steps, key=lambda w: (w.start, w.end)):
        start = max(one.start, found[-1].end) if found else one.start
        if one.end > start:
            found.append(replace(one, start=start))
    return tuple(found)


def _whole(trace: Trace) -> tuple[Window, ...]:
    kernels, host = trace.kernels, trace.host
    active = (kernels.kind != RANGE) & kernels.timed
    if active.any():
        return (Window("whole file", int(kernels.start[active].min()), int(kernels.end[active].max()), marked=False),)
    if len(host) and trace.timeline:
        return (Window("whole file", int(host.start.min()), int(host.end.max()), marked=False),)
    return ()
