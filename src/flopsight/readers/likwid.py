"""READER of likwid-perfctr: its CSV (-O) and its text tables.

A group has a table of raw counts (Event, Counter, one column a hardware thread) and a table of metrics, once or by
region of the marker interface. Uncore counters stand under one hardware thread of each socket, and are 0 under the
others. Format: likwid's printcsv and printtable; groups and their formulas: its folder groups/.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits, unpacked
from flopsight.readers.reader import Head
from flopsight.readers.samples import Samples, number
from flopsight.readers.text import decoded, lines
from flopsight.trace import Device, Trace, Unread

TABLE: Final = re.compile(r"TABLE,(?:Region (?P<region>.+?),)?Group (?P<number>\d+) (?P<kind>Raw|Metric)"
                          r"(?P<sums> STAT)?,(?P<group>[^,]*),\d+")  # fmt: skip
TITLE: Final = re.compile(r"(?:Region (?P<region>.+?), )?Group (?P<number>\d+): (?P<group>\S+)\s*$")
RULE: Final = re.compile(r"^\+(?:-+\+)+\s*$")
ABOUT: Final = re.compile(r"CPU (name|type|clock):[,\t ]*([^,\t]*)")
UNIT: Final = re.compile(r"^(.*?)\s*\[([^\]]*)\]\s*$")
THREAD: Final = re.compile(r"(?:HWThread|Core|GPU)\s+\d+$")
SUMS: Final = frozenset(("Sum", "Min", "Max", "Avg"))
SCALES: Final = {
    "s": (1e9, "ns"), "MHz": (1e6, "Hz"), "MFLOP/s": (1e6, "FLOP/s"), "MBytes/s": (1e6, "byte/s"),
    "GBytes": (1e9, "byte"), "MUOPS/s": (1e6, "uop/s"), "J": (1.0, "J"), "W": (1.0, "W"), "C": (1.0, "C"),
    "%": (1.0, "%"),
}  # fmt: skip
"""likwid's units, factor to the base unit, base unit; its prefixes are decimal (1.0E-06*bytes/time)."""


@dataclass(frozen=True, slots=True)
class Likwid:
    """Groups of hardware counters."""

    name: str = "likwid"
    title: str = "likwid-perfctr (-O, or its tables)"

    def recognises(self, head: Head) -> bool:
        """By the title of a table in either form."""
        text = decoded(head.text)
        return any(TABLE.match(line) for line in text.split("\n")) or (
            bool(re.search(TITLE.pattern, text, re.MULTILINE)) and bool(re.search(r"\|\s*(?:Event|Metric)\s*\|", text))
        )

    def read(self, path: Path, limits: Limits) -> Trace:
        """Every table; BadFile where none holds a value."""
        taken = Taken()
        with unpacked(path, limits) as source:
            taken.take(lines(source))
            cut = source.cut
        if not len(taken.samples):
            raise BadFile(f"{path} holds no counter of likwid; write it again with likwid-perfctr -O -g GROUP PROGRAM.")
        return Trace(
            source=str(path), format="likwid", series=taken.samples.series(), timeline=False, marks=dict(taken.about),
            devices=(Device(0, taken.about.get("name", ""), "cpu", capability=taken.about.get("type", "")),),
            unread=(*taken.unread(), *((Unread("the end of the file", 1, cut),) if cut else ())),
        )  # fmt: skip


@dataclass(slots=True)
class Taken:
    """What was met so far, and where in the file the reading stands."""

    samples: Samples = field(default_factory=Samples)
    about: dict[str, str] = field(default_factory=dict)
    place: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    heading: bool = False
    sums: int = 0
    others: int = 0

    def take(self, source: Iterable[str]) -> None:
        """Every line."""
        for line in source:
            about = ABOUT.match(line)
            title = TABLE.match(line) or TITLE.match(line)
            if about is not None:
                self.about.setdefault(about[1], about[2].strip())
            elif title is not None:
                self._open({k: v for k, v in title.groupdict().items() if k in ("region", "number", "group") and v})
            elif RULE.match(line):
                continue
            else:
                self._row(_cells(line))

    def _open(self, place: dict[str, str]) -> None:
        self.place, self.columns = place, []

    def _row(self, cells: list[str]) -> None:
        if not self.place or len(cells) < 2:
            self.columns = [] if not any(cells) else self.columns
            self.others += bool(self.columns)
        elif cells[0] in ("Event", "Metric", "Region Info"):
            self.columns = cells
        elif self.columns:
            self._values(cells)

    def _values(self, cells: list[str]) -> None:
        raw = len(self.columns) > 1 and self.columns[1] == "Counter"
        for where, cell in zip(self.columns[1:], cells[1:], strict=False):
            if where in SUMS:
                self.sums += 1
            elif THREAD.match(where):
                self._value(cells[0], cell, {"counter": cells[1]} if raw else {}, where)

    def _value(self, name: str, cell: str, counter: dict[str, str], where: str) -> None:
        unit = UNIT.match(name)
        factor, base = SCALES.get(unit[2], (1.0, unit[2])) if unit is not None else (1.0, "")
        value = number(cell)
        said = "" if value is not None else f"likwid says {cell.strip()[:40] or 'nothing'}"
        labels = {**{k: v for k, v in self.place.items() if k != "number"}, **counter, "thread": where.split()[-1]}
        self.samples.add(name, math.nan if value is None else value * factor, base, labels, why=said)

    def unread(self) -> Iterator[Unread]:
        """What is in the file and not in the trace."""
        if self.sums:
            yield Unread("sums, minima, maxima and means", self.sums, "they are made of the values of the threads")


def _cells(line: str) -> list[str]:
    """Cells of a line of either form; one cell for a line that is of none."""
    if line.startswith("|"):
        return [cell.strip() for cell in line.strip().strip("|").split("|")]
    if "," not in line:
        return [line.strip()]
    try:
        return [cell.strip() for cell in next(csv.reader([line.replace("\0", "")]), [])]
    except csv.Error:
        return [""]


READER: Final = Likwid()
