"""Planes "/device:TPU:N": ops of compiled programs, with what XLA's cost model says of each."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from flopsight.readers.xplane import hlo
from flopsight.readers.xplane.details import ASYNC, OPS, RANGES
from flopsight.readers.xplane.loops import encloses
from flopsight.readers.xplane.ranges import put_ranges
from flopsight.readers.xplane.rows import Rows
from flopsight.readers.xplane.space import Events, Kinds, Line, Plane
from flopsight.readers.xplane.times import times
from flopsight.trace.columns import COPY, KERNEL, RANGE, Ints

COSTS: Final = ("flops", "bytes_accessed", "model_flops")


def put(plane: Plane, device: int, rows: Rows) -> None:
    """The plane's rows."""
    kinds = plane.kinds()
    for line in rows.lines(plane):
        for events in line.events():
            if line.name in RANGES:
                put_ranges(line, events, kinds, device, rows)
            elif line.name in (OPS, ASYNC):
                _put_ops(line, events, kinds, device, rows)
            else:
                rows.leave(f"events of the line {line.name!r}", len(events), "not used")
        rows.leave("ends of lines", int(bool(line.damage)), line.damage)


def _put_ops(line: Line, events: Events, kinds: Kinds, device: int, rows: Rows) -> None:
    good, start, end = times(line, events)
    rows.leave("events of a device without a time", int((~good).sum()), "aggregated, or not whole")
    which = kinds.rows(events.metadata)
    collective = _collectives(kinds, rows)[which]
    around = np.zeros(len(events), bool)
    around[good] = _loops(events.offset[good], events.duration[good]) if line.name == OPS else False
    plain = np.where(collective >= 0, KERNEL, COPY if line.name == ASYNC else KERNEL)
    columns = {
        "name": rows.named(kinds, which, tuple(map(_name, kinds.names, kinds.shown))),
        "kind": np.where(around, RANGE, plain), "collective": np.where(around, -1, collective),
        "external": _ops(kinds, events, which, rows), **_costs(kinds, events, which, around),
    }  # fmt: skip
    size = len(start)
    none = np.full(size, -1)
    rows.device(
        start=start, end=end, device=np.full(size, device), stream=np.full(size, line.id), correlation=none, bytes=none,
        graph=none, grid=np.full((size, 3), -1), block=np.full((size, 3), -1),
        **{name: values[good] for name, values in columns.items()},
    )  # fmt: skip


def _name(text: str, shown: str) -> str:
    return shown or hlo.short(text)


def _collectives(kinds: Kinds, rows: Rows) -> Ints:
    """By kind, and -1 for no kind: the number of its collective."""
    codes, categories = kinds.stats.coded("hlo_category", len(kinds))
    found = []
    for text, code in zip(kinds.names, codes.tolist(), strict=True):
        one = hlo.collective(text, categories[code] if code >= 0 else "")
        found.append(-1 if one is None else rows.collectives.setdefault(one, len(rows.collectives)))
    return np.array([*found, -1], np.int64)


def _ops(kinds: Kinds, events: Events, which: Ints, rows: Rows) -> Ints:
    """By event: the number of its op, whose name is the instruction's where no stat gives it."""
    said = rows.op_numbers(events.stats, len(events))
    scope, scopes = kinds.stats.coded("tf_op", len(kinds))
    numbers = [
        rows.numbered(("", _name(text, shown), scopes[code].removesuffix(":") if code >= 0 else ""))
        for text, shown, code in zip(kinds.names, kinds.shown, scope.tolist(), strict=True)
    ]
    return np.where(said >= 0, said, np.array([*numbers, -1], np.int64)[which])


def _costs(kinds: Kinds, events: Events, which: Ints, around: Any) -> dict[str, Any]:
    """By event: what the cost model says; NaN of loops and calls, whose bodies are rows of their own."""
    found = {}
    for name in COSTS:
        of_kind = np.append(kinds.stats.floats(name, len(kinds)), np.nan)[which]
        of_event = events.stats.floats(name, len(events))
        found[name] = np.where(around, np.nan, np.where(np.isnan(of_event), of_kind, of_event))
    return found


def _loops(offset: Ints, duration: Ints) -> Any:
    """In picoseconds: rounded to nanoseconds, neighbours could seem to hold each other."""
    return encloses(offset, offset + np.clip(duration, 0, 1 << 61), np.zeros(len(offset), np.int32))
