"""Dispatches, copies, calls and counters, whichever format they came from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from flopsight.errors import BadFile
from flopsight.trace import Device, Host, Kernels, Metric, Names, Series, Trace, Unread
from flopsight.trace.columns import KERNEL

FURTHEST: Final = 2**62
MOST_COUNTERS: Final = 20_000


@dataclass(slots=True)
class Dispatch:
    """One activity of a device; -1 where a value is not known, end < start for an unknown duration."""

    name: str
    start: int = 0
    end: int = -1
    device: str = ""
    stream: int = -1
    kind: int = KERNEL
    correlation: int = -1
    bytes: int = -1
    grid: tuple[int, int, int] = (-1, -1, -1)
    block: tuple[int, int, int] = (-1, -1, -1)


@dataclass(slots=True)
class Happening:
    """One call or marker of a thread."""

    name: str
    start: int
    end: int
    thread: str
    kind: int
    correlation: int = -1


@dataclass
class Rows:
    """Everything of one run.

    dispatches   in the order they were met; `at` finds one by its key again
    counters     {name: {row of a dispatch: value}}
    """

    dispatches: list[Dispatch] = field(default_factory=list)
    host: list[Happening] = field(default_factory=list)
    counters: dict[str, dict[int, float]] = field(default_factory=dict)
    series: list[Series] = field(default_factory=list)
    devices: dict[str, Device] = field(default_factory=dict)
    marks: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    at: dict[Any, int] = field(default_factory=dict)

    def add(self, one: Dispatch, key: Any = None) -> int:
        """A dispatch, once for each key."""
        if key is not None and key in self.at:
            return self._again(self.at[key], one)
        self.dispatches.append(one)
        row = len(self.dispatches) - 1
        if key is not None:
            self.at[key] = row
        return row

    def _again(self, row: int, one: Dispatch) -> int:
        """The same dispatch from another file, which may know its times."""
        known = self.dispatches[row]
        if known.end < known.start and one.end >= one.start:
            known.start, known.end = one.start, one.end
        if known.block[0] < 0:
            known.grid, known.block = one.grid, one.block
        return row

    def count(self, name: str, row: int, value: float) -> None:
        """A counter of a dispatch; values of several places (chips of a chiplet, channels) are added up."""
        if name not in self.counters and len(self.counters) >= MOST_COUNTERS:
            self.lost["counters beyond the first 20,000"] += 1
            return
        column = self.counters.setdefault(name, {})
        column[row] = column.get(row, 0.0) + value

    def trace(self, path: Path, fmt: str) -> Trace:
        """All of it; BadFile where there is nothing."""
        if not (self.dispatches or self.host or self.series):
            raise BadFile(f"{path} holds no dispatch, call or counter; record with rocprofv3 --kernel-trace or --pmc.")
        names = Names()
        order = list(dict.fromkeys(d.device for d in self.dispatches))
        return Trace(
            source=str(path), format=fmt, devices=tuple(self._device(i, n) for i, n in enumerate(order)),
            kernels=self._kernels(names, {n: i for i, n in enumerate(order)}),
            host=self._host(names),
            threads=tuple(dict.fromkeys(h.thread for h in self.host)), metrics=self._metrics(),
            series=tuple(self.series), timeline=not self.dispatches or any(d.end >= d.start for d in self.dispatches),
            marks=self.marks, notes=tuple(self.notes), names=names.texts(),
            unread=tuple(Unread(what, n, "not understood") for what, n in self.lost.items()),
        )  # fmt: skip

    def _device(self, number: int, name: str) -> Device:
        known = self.devices.get(name) or (next(iter(self.devices.values())) if len(self.devices) == 1 else None)
        return known if known is not None else Device(number, "", "amd", properties={"agent": name} if name else {})

    def _kernels(self, names: Names, devices: Mapping[str, int]) -> Kernels:
        rows = self.dispatches
        return Kernels.of(
            start=[d.start for d in rows], end=[d.end for d in rows], device=[devices[d.device] for d in rows],
            stream=[d.stream for d in rows], name=names.of(d.name for d in rows), kind=[d.kind for d in rows],
            correlation=[d.correlation for d in rows], bytes=[d.bytes for d in rows],
            grid=[_small(d.grid) for d in rows], block=[_small(d.block) for d in rows],
        ) if rows else Kernels.of(start=())  # fmt: skip

    def _host(self, names: Names) -> Host:
        rows = self.host
        if not rows:
            return Host.of(start=())
        threads = {t: i for i, t in enumerate(dict.fromkeys(h.thread for h in rows))}
        return Host.of(
            start=[h.start for h in rows], end=[h.end for h in rows], thread=[threads[h.thread] for h in rows],
            name=names.of(h.name for h in rows), kind=[h.kind for h in rows], correlation=[h.correlation for h in rows],
        )  # fmt: skip

    def _metrics(self) -> tuple[Metric, ...]:
        size = len(self.dispatches)
        made = []
        for name, values in self.counters.items():
            column = np.full(size, np.nan)
            column[list(values)] = list(values.values())
            made.append(Metric(name, "", column))
        return tuple(made)


def _small(sizes: tuple[int, int, int]) -> tuple[int, ...]:
    """Sizes of a launch; -1 for what no launch has."""
    return tuple(n if -1 <= n < 2**31 else -1 for n in sizes)


def whole(value: Any, usual: int = -1) -> int:
    """A whole number in a cell; "8.1097E+14" has lost its last digits and is one all the same."""
    try:
        number = float(value)
        exact = int(str(value).strip()) if str(value).strip().lstrip("-").isdigit() else int(number)
    except (TypeError, ValueError, OverflowError):
        return usual
    return exact if abs(exact) < FURTHEST and math.isfinite(number) else usual


def times(start: Any, end: Any) -> tuple[int, int]:
    """Start and end; an unknown duration where they cannot be, or where the file printed both as the same."""
    first, last = whole(start), whole(end)
    return (first, last) if 0 <= first < last else (max(first, 0), max(first, 0) - 1)


def blocks(work_items: Sequence[int], group: Sequence[int]) -> tuple[int, int, int]:
    """Workgroups of a launch from its work-items: AMD counts the latter."""
    found = [-(-g // w) if g > 0 and w > 0 else -1 for g, w in zip(work_items, group, strict=True)]
    return found[0], found[1], found[2]
