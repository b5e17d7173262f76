"""Planes "/device:GPU:N": streams of kernels, copies and fills."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import numpy as np

from flopsight.readers.xplane.ranges import DERIVED, RANGES, put_ranges
from flopsight.readers.xplane.rows import Rows
from flopsight.readers.xplane.space import Events, Kinds, Line, Plane
from flopsight.readers.xplane.times import times
from flopsight.trace.columns import COPY, KERNEL, SET, Ints

GRID: Final = re.compile(r"\bgrid:(\d{1,9}),(\d{1,9}),(\d{1,9})")
BLOCK: Final = re.compile(r"\bblock:(\d{1,9}),(\d{1,9}),(\d{1,9})")
COPIED: Final = re.compile(r"\b(?:size|num_bytes):(\d{1,18})")
STREAM: Final = re.compile(r"Stream\s*#|\d+\(")
OF_A_STREAM: Final = ("kernel_details", "memcpy_details", "correlation_id")
FILLS: Final = ("Memset_details", "memset_details")


def put(plane: Plane, device: int, rows: Rows) -> None:
    """The plane's rows."""
    kinds = plane.kinds()
    for line in plane.lines():
        for events in line.events():
            if line.name in RANGES:
                put_ranges(line, events, kinds, device, rows)
            elif line.name in DERIVED or not _is_stream(line, events):
                rows.leave(f"events of the line {line.name!r}", len(events), "they repeat or sum up what others say")
            else:
                _put_stream(line, events, kinds, device, rows)
        rows.leave("ends of lines", int(bool(line.damage)), line.damage)


def _is_stream(line: Line, events: Events) -> bool:
    return bool(STREAM.match(line.name)) or any(len(events.stats.rows(name)) for name in OF_A_STREAM)


def _put_stream(line: Line, events: Events, kinds: Kinds, device: int, rows: Rows) -> None:
    good, start, end = times(line, events)
    size, stats = len(events), events.stats
    rows.leave("events of a device without a time", int((~good).sum()), "aggregated, or not whole")
    copies, said = stats.coded("memcpy_details", size)
    moved = _each(said, copies, _moved)
    fills = np.full(size, -1, np.int64)
    for name in FILLS:
        codes, said = stats.coded(name, size)
        fills = np.where(codes >= 0, codes, fills)
        moved = np.where(codes >= 0, _each(said, codes, _moved), moved)
    launches, details = stats.coded("kernel_details", size)
    kind = np.where(copies >= 0, COPY, np.where(fills >= 0, SET, KERNEL))
    columns = {
        "name": rows.named(kinds, kinds.rows(events.metadata), kinds.names), "kind": kind,
        "correlation": stats.numbers("correlation_id", size), "external": rows.op_numbers(stats, size), "bytes": moved,
        "graph": stats.numbers("cuda_graph_node_id", size),
        "grid": _each(details, launches, lambda text: _three(GRID, text)),
        "block": _each(details, launches, lambda text: _three(BLOCK, text)),
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


def _moved(text: str) -> int:
    """Bytes; -1 where not said. The ROCm tracer writes size 0 for copies whose size it does not know."""
    found = COPIED.search(text)
    return int(found[1]) or -1 if found else -1


@cache
def _nothing() -> tuple[int, int, int]:
    return -1, -1, -1


def _three(pattern: re.Pattern[str], text: str) -> tuple[int, int, int]:
    found = pattern.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else _nothing()
