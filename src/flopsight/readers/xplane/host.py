"""The plane "/host:CPU": threads, their calls of the driver, steps, Python functions and marks in the runtime."""

from __future__ import annotations

import numpy as np

from flopsight.readers.xplane.rows import Rows
from flopsight.readers.xplane.space import Events, Kinds, Line, Plane
from flopsight.readers.xplane.times import times
from flopsight.trace.columns import CALL, HOST_RANGE, OP, PYTHON, Ints


def put(plane: Plane, rows: Rows) -> None:
    """The plane's rows.

    kind   call where a correlation with a device's activity is recorded, op where an op of a compiled program is named,
           python where the name is one of the Python tracer's ("$file.py:12 function"), else range
    name   as written; of a step its number is added: "train#7"
    """
    kinds = plane.kinds()
    for line in rows.lines(plane):
        thread = rows.threads[f"{plane.name}/{line.name or line.id}"]
        for events in line.events():
            _put(line, events, kinds, thread, rows)
        rows.leave("ends of lines", int(bool(line.damage)), line.damage)


def _put(line: Line, events: Events, kinds: Kinds, thread: int, rows: Rows) -> None:
    good, start, end = times(line, events)
    rows.leave("events of threads without a time", int((~good).sum()), "aggregated, or not whole")
    size, stats, which = len(events), events.stats, kinds.rows(events.metadata)
    correlation, ops = stats.numbers("correlation_id", size), rows.op_numbers(stats, size)
    python = np.array([one.startswith("$") for one in (*kinds.names, "")], bool)[which]
    kind = np.where(python, PYTHON, np.where(correlation >= 0, CALL, np.where(ops >= 0, OP, HOST_RANGE)))
    columns = {
        "name": _stepped(rows.named(kinds, which, kinds.names), events, kinds, which, rows), "kind": kind,
        "correlation": correlation, "external": ops, "ordinal": stats.numbers("device_ordinal", size),
    }  # fmt: skip
    rows.thread(
        start=start, end=end, thread=np.full(len(start), thread), **{name: one[good] for name, one in columns.items()}
    )


def _stepped(names: Ints, events: Events, kinds: Kinds, which: Ints, rows: Rows) -> Ints:
    """The names, with the step's number behind those of steps."""
    steps = events.stats.numbers("step_num", len(events))
    found = names.copy()
    for row in np.flatnonzero((steps >= 0) & (which >= 0)).tolist():
        found[row] = rows.names[f"{kinds.names[which[row]]}#{steps[row]}"]
    return found
