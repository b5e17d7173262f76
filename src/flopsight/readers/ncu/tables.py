"""Tables of `ncu --csv`: the raw page (a row a kernel), the details page (a row a metric) and summaries (averages).

Columns are found by their headings, as their number and order differ by version and by option (NVTX ranges, rules).
Formats: https://docs.nvidia.com/nsight-compute/NsightComputeCli/index.html, "Console Output".
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final, Protocol

from flopsight.readers.ncu.devices import ATTRIBUTE
from flopsight.readers.ncu.launches import UNKNOWN, Launches, Three
from flopsight.readers.ncu.units import base, decimal_mark, number, plain

NAME, METRIC, UNIT, VALUE, AVERAGE = "Kernel Name", "Metric Name", "Metric Unit", "Metric Value", "Average"
TIMES: Final = "Invocations"
RULE: Final = "Rule Name"
OUTCOMES: Final = frozenset((
    METRIC, UNIT, VALUE, AVERAGE, "Minimum", "Maximum", "Section Name", RULE, "Rule Type", "Rule Description",
    "Estimated Speedup Type", "Estimated Speedup",
))  # fmt: skip
"""Columns of a long table that say something of a launch instead of which launch it is."""
IDENTITY: Final = frozenset((
    "ID", "Process ID", "Process Name", "Host Name", NAME, "Kernel Time", "Context", "Stream", "Block Size",
    "Grid Size", "Device", "CC", TIMES, "Section Name",
))  # fmt: skip
SAMPLE: Final = 512
INSTANCE: Final = re.compile(r"([A-Z][\w.]*)\s*:\s*([\d.,]+)")
Row = Sequence[str]


class Table(Protocol):
    """What takes the rows under one heading."""

    def take(self, row: Row) -> None:
        """One row."""
        ...


def read(lines: Iterable[str], into: Launches) -> None:
    """Every table among the lines; what a program printed between them is passed over."""
    rows = _rows(lines, into)
    head = list(islice(rows, SAMPLE))
    mark = decimal_mark(cell for row in head for cell in row)
    if mark == ",":
        into.notes["Numbers are printed with a comma before their decimals; they were read so."] = None
    table: Table | None = None
    for row in chain(head, rows):
        heading = {name.strip(): at for at, name in enumerate(row)}
        if is_heading(heading):
            table = _table(heading, into, mark)
        elif table is not None and len(row) > 1:
            table.take(row)


def is_heading(heading: Iterable[str]) -> bool:
    """Whether these cells are the first row of a table of ncu."""
    found = set(heading)
    if METRIC in found:
        return VALUE in found or AVERAGE in found
    return NAME in found and any("__" in cell for cell in found)


def _rows(lines: Iterable[str], into: Launches) -> Iterator[Row]:
    reader = csv.reader(_tabular(lines, into))
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            into.lose("rows of the table", f"they are damaged ({error})")


def _tabular(lines: Iterable[str], into: Launches) -> Iterator[str]:
    """Lines without those in which ncu talks (==PROF== ...); its errors and warnings become notes."""
    for line in lines:
        if not line.startswith("=="):
            yield line.replace("\0", "")
        elif line.startswith(("==ERROR==", "==WARNING==")) and len(into.notes) < 20:
            into.notes[f"ncu said: {line.strip()[:300]}"] = None


def _table(heading: dict[str, int], into: Launches, mark: str) -> Table:
    return Long(heading, into, mark) if METRIC in heading else Wide(heading, into, mark)


@dataclass
class Cells:
    """A row's cells by heading."""

    heading: dict[str, int]

    def of(self, row: Row, name: str) -> str:
        """The cell under a heading; "" where there is no such column or cell."""
        at = self.heading.get(name, -1)
        return row[at].strip() if 0 <= at < len(row) else ""

    def whole(self, row: Row, name: str) -> int:
        """A whole number; -1 where there is none."""
        text = self.of(row, name).replace(",", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1

    def add(self, row: Row, into: Launches, times: int = 1) -> int:
        """The launch that a row is of, as a new kernel."""
        number = max(self.whole(row, "Device"), 0)
        at = into.add(
            self.of(row, NAME), three(self.of(row, "Grid Size")), three(self.of(row, "Block Size")),
            self.whole(row, "Stream"), number, times,
        )  # fmt: skip
        if capability := self.of(row, "CC"):
            into.know(number, "capability", capability)
        if (said := self.of(row, "Device")) and not said.isdigit():
            into.know(number, "display_name", said)
        return at


@dataclass
class Wide:
    """The raw page: a row a kernel, its first row the units."""

    heading: dict[str, int]
    into: Launches
    mark: str
    units: dict[str, tuple[float, str]] | None = None

    def take(self, row: Row) -> None:
        """Units, then kernels."""
        cells = Cells(self.heading)
        if not cells.of(row, NAME):
            self._scale(row)
        elif len(row) < len(self.heading):
            self.into.lose("rows of the table", "they end before the last column")
        else:
            self._launch(cells.add(row, self.into), row)

    def _scale(self, row: Row) -> None:
        if self.units is None:
            self.units = {name: base(row[at].strip()) for name, at in self.heading.items() if at < len(row)}

    def _launch(self, at: int, row: Row) -> None:
        if self.units is None:
            self.units = {}
            self.into.notes[
                "The table has no row of units: its values are as they stand, and no duration is known."
            ] = None
        for name, place in self.heading.items():
            if name not in IDENTITY:
                self._put(at, name, row[place])

    def _put(self, at: int, name: str, cell: str) -> None:
        value = number(cell, self.mark)
        factor, unit = (self.units or {}).get(name, (1.0, ""))
        if value is None:
            _text(self.into, at, name, cell)
        elif not math.isnan(value):
            self.into.put(at, name, unit, value * factor)
            instances(self.into, at, name, cell, self.mark)


@dataclass
class Long:
    """The details page and the summaries: a row a metric of a kernel."""

    heading: dict[str, int]
    into: Launches
    mark: str
    launches: dict[tuple[str, ...], int] = field(default_factory=dict)
    said: dict[int, set[tuple[str, str]]] = field(default_factory=dict)

    def take(self, row: Row) -> None:
        """One metric, or one rule's advice."""
        cells = Cells(self.heading)
        name = cells.of(row, METRIC)
        if name and (VALUE in self.heading or AVERAGE in self.heading):
            self._metric(cells, row, name)
        elif cells.of(row, RULE):
            self.into.lose("rules", "ncu's own advice, which is not numbers")

    def _metric(self, cells: Cells, row: Row, name: str) -> None:
        cell = cells.of(row, VALUE) or cells.of(row, AVERAGE)
        value = number(cell, self.mark)
        factor, unit = base(cells.of(row, UNIT))
        at = self._launch(cells, row, (cells.of(row, "Section Name"), name))
        if value is None:
            _text(self.into, at, name, cell)
        elif not math.isnan(value):
            self.into.put(at, name, unit, value * factor)
            instances(self.into, at, name, cell, self.mark)

    def _launch(self, cells: Cells, row: Row, metric: tuple[str, str]) -> int:
        """The kernel of this row: the same cells, and where kernels are not numbered no metric twice."""
        key = tuple(cell for name, at in self.heading.items() if name not in OUTCOMES for cell in row[at : at + 1])
        found = self.launches.get(key)
        if found is None or ("ID" not in self.heading and metric in self.said[found]):
            found = self.launches[key] = self._new(cells, row)
            self.said[found] = set()
        if "ID" not in self.heading:
            self.said[found].add(metric)
        return found

    def _new(self, cells: Cells, row: Row) -> int:
        if AVERAGE not in self.heading:
            return cells.add(row, self.into)
        self.into.notes[
            "The table holds averages: each of a kernel's launches stands here with the average of all."
        ] = None
        return cells.add(row, self.into, max(cells.whole(row, TIMES), 1))


def three(cell: str) -> Three:
    """A grid or block: "(256, 1, 1)"; -1 where it is not said."""
    found = [int(part) for part in re.findall(r"\d+", cell[:64])]
    inside = 0 < len(found) <= 3 and max(found) < 2**31
    return (*found, *(1, 1))[:3] if inside else UNKNOWN  # type: ignore[return-value]


def instances(into: Launches, at: int, name: str, cell: str, mark: str) -> None:
    """Values by opcode that stand in brackets behind the sum (--print-metric-instances details)."""
    if not name.endswith("per_opcode") and "_per_opcode_" not in name:
        return
    for opcode, text in INSTANCE.findall(cell):
        value = plain(text, mark)
        if value is not None:
            into.put(at, f"{name}[{opcode}]", "inst", value)


def _text(into: Launches, at: int, name: str, cell: str) -> None:
    if name.startswith(ATTRIBUTE):
        into.know(into.devices[at], name.removeprefix(ATTRIBUTE), cell)
    else:
        into.lose("values that are texts", "NVTX ranges and settings are not counters")
