"""Tables of unitrace: time by function of the host (-h) or by kernel of the device (-d).

    === Device Timing Summary ===                    or  === API Timing Summary ===
        Total Execution Time (ns):   214649009
    == L0 Backend ==
        Kernel,  Calls,  Time (ns),  Time (%),  Average (ns),  Min (ns),  Max (ns)

Only sums are given: each of a row's calls stands here with its share of the sum, so that sums and counts are exact.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from flopsight.readers.intel.timeline import kind
from flopsight.trace import Device, Host, Kernels, Names
from flopsight.trace.columns import CALL, Ints

TITLE: Final = re.compile(r"=== (?P<what>API|Device) Timing Summary ===")
BACKEND: Final = re.compile(r"== (?P<name>\S.{0,60}?) Backend ==")
TOTAL: Final = re.compile(r"\s*Total (?P<what>Execution|API|Device) Time.{0,60}? ?\(ns\):\s+(?P<time>\d{1,18})\s*$")
COLUMNS: Final = ("Calls", "Time (ns)")
MOST_CALLS: Final = 5_000_000
MOST_TIME: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Part:
    """A row of a table."""

    device: bool
    backend: str
    name: str
    calls: int
    time: int


@dataclass(slots=True)
class Summary:
    """Rows met so far."""

    device: bool | None = None
    backend: str = ""
    heading: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    total: int | None = None
    calls: int = 0
    refused: int = 0

    def take(self, line: str) -> bool:
        """Whether the line belongs to a table."""
        title, backend, total = TITLE.match(line), BACKEND.match(line), TOTAL.match(line)
        if title is not None:
            self.device, self.heading = title["what"] == "Device", []
        elif backend is not None and self.device is not None:
            self.backend, self.heading = backend["name"], []
        elif total is not None and total["what"] == "Execution" and self.device is not None:
            self.total = int(total["time"])
        else:
            return total is not None or self._row(line)
        return True

    def _row(self, line: str) -> bool:
        if self.device is None or "," not in line:
            return False
        try:
            cells = [cell.strip() for cell in next(csv.reader([line.replace("\0", "")], skipinitialspace=True), [])]
        except csv.Error:
            return False
        if cells[0] in ("Kernel", "Function"):
            self.heading = cells
            return True
        return len(cells) == len(self.heading) and self._keep(cells)

    def _keep(self, cells: list[str]) -> bool:
        said = [cells[self.heading.index(name)] if name in self.heading else "" for name in COLUMNS]
        if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in said):
            return False
        calls, time = (int(text) for text in said)
        if not 0 < calls <= MOST_CALLS - self.calls or time >= MOST_TIME:
            self.refused += 1
            return True
        self.calls += calls
        self.parts.append(Part(bool(self.device), self.backend, cells[0], calls, time))
        return True

    def kernels(self, names: Names) -> Kernels:
        """Every call of a kernel, without a time of its own."""
        rows = [part for part in self.parts if part.device]
        if not rows:
            return Kernels.of(start=())
        shares, repeats = _shares(rows)
        return Kernels.of(
            start=np.zeros(len(shares), np.int64), end=shares,
            name=np.repeat([names[part.name] for part in rows], repeats),
            kind=np.repeat([kind(part.name) for part in rows], repeats),
        )  # fmt: skip

    def host(self, names: Names) -> Host:
        """Every call of a function, without a time of its own."""
        rows = [part for part in self.parts if not part.device]
        if not rows:
            return Host.of(start=())
        shares, repeats = _shares(rows)
        return Host.of(
            start=np.zeros(len(shares), np.int64), end=shares, kind=np.full(len(shares), CALL),
            name=np.repeat([names[part.name] for part in rows], repeats),
        )  # fmt: skip

    def found(self) -> tuple[Device, ...]:
        """One device, as the tables do not tell them apart."""
        return (Device(0, vendor="intel"),) if any(part.device for part in self.parts) else ()


def _shares(rows: list[Part]) -> tuple[Ints, Ints]:
    """Whole nanoseconds of each call, which sum to what the table says, and how many calls each row has."""
    repeats = np.array([part.calls for part in rows], np.int64)
    times = np.array([part.time for part in rows], np.int64)
    first = np.repeat(np.concatenate(([0], np.cumsum(repeats)[:-1])), repeats)
    place = np.arange(int(repeats.sum())) - first
    return np.repeat(times // repeats, repeats) + (place < np.repeat(times % repeats, repeats)), repeats
