"""Planes "/device:GPU:N": streams of kernels, copies and fills."""

from __future__ import annotations

from typing import Final

import numpy as np

from flopsight.readers.xplane import details
from flopsight.readers.xplane.ranges import put_ranges
from flopsight.readers.xplane.rows import Rows
from flopsight.readers.xplane.space import Events, Kinds, Line, Plane
from flopsight.readers.xplane.times import times
from flopsight.trace.columns import COPY, KERNEL, SET, Ints

OF_A_STREAM: Final = ("kernel_details", "memcpy_details", "correlation_id")
FILLS: Final = ("Memset_details", "memset_details")


def put(plane: Plane, device: int, rows: Rows) -> None:
    """The plane's rows."""
    kinds = plane.kinds()
    for line in rows.lines(plane):
        for events in line.events():
            name = details.line_name(line.name)
            if name in details.RANGES:
                put_ranges(line, events, kinds, device, rows)
            elif name in details.REPEATED or not _is_stream(line, events):
                rows.leave(f"events of the line {name!r}", len(events), "they repeat or sum up what others say")
            else:
                _put_stream(line, events, kinds, device, rows)
        rows.leave("ends of lines", int(bool(line.damage)), line.damage)


def _is_stream(line: Line, events: Events) -> bool:
    return details.stream(line.name) is not None or any(len(events.stats.rows(name)) for name in OF_A_STREAM)


def _put_stream(line: Line, events: Events, kinds: Kinds, device: int, rows: Rows) -> None:
    good, start, end = times(line, events)
    size, stats = len(events), events.stats
    rows.leave("events of a device without a time", int((~good).sum()), "aggregated, or not whole")
    copies, said = stats.coded("memcpy_details", size)
    moved = _each(said, copies, details.moved)
    fills = np.full(size, -1, np.int64)
    for name in FILLS:
        codes, said = stats.coded(name, size)
        fills = np.where(codes >= 0, codes, fills)
        moved = np.where(codes >= 0, _each(said, codes, details.moved), moved)
    launches, said = stats.coded("kernel_details", size)
    kind = np.where(copies >= 0, COPY, np.where(fills >= 0, SET, KERNEL))
    columns = {
        "name": rows.named(kinds, kinds.rows(events.metadata), kinds.names), "kind": kind,
        "correlation": stats.numbers("correlation_id", size), "external": rows.op_numbers(stats, size), "bytes": moved,
        "graph": stats.numbers("cuda_graph_node_id", size),
        "grid": _each(said, launches, details.grid),
        "block": _each(said, launches, details.block),
    }  # fmt: skip
    count = len(start)
    rows.device(
        start=start, end=end, device=np.full(count, device), stream=np.full(count, line.id),
        collective=np.full(count, -1), flops=np.full(count, np.nan), bytes_accessed=np.full(count, np.nan),
        model_flops=np.full(count, np.nan), **{name: values[good] for name, values in columns.items()},
    )  # fmt: skip


def _each(texts: tuple[str, ...], codes: Ints, meaning: object) -> Ints:
    """What each row's text means, found once for each different text; the meaning of "" for rows without one."""
    found = np.array([meaning(text) for text in (*texts, "")], np.int64)  # type: ignore[operator]
    return np.asarray(found[codes])
