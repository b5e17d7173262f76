"""READER of Intel Advisor's survey with FLOPs, as CSV.

    advisor --collect=roofline ...; advisor --report=survey --show-all-columns --format=csv --report-output=FILE

(`--report=roofline` writes HTML whatever the format.) A row is a loop or a function; "Self GFLOP", "Self Memory GB" and
"Self Elapsed Time" are its own, without what it calls. Advisor counts executed instructions: a fused multiply-add as
two operations, masked lanes not, divisions and square roots as one.
Source: Intel Advisor roofline FAQ (ID 673150) and user guide, "Analyze CPU Roofline".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from flopsight.errors import BadFile
from flopsight.readers.intel.columns import amount, heading, rows, time
from flopsight.readers.limits import Limits, unpacked
from flopsight.readers.reader import Head
from flopsight.readers.text import decoded, lines
from flopsight.trace import Device, Kernels, Metric, Names, Trace, Unread

NAME: Final = "Function Call Sites and Loops"
TIMES: Final = ("Self Elapsed Time", "Self Time")
METRICS: Final = {
    "Self GFLOP": (1e9, "FLOP"), "Self GINTOP": (1e9, "INTOP"), "Self Memory GB": (1e9, "byte"),
    "Self GFLOPS": (1e9, "FLOP/s"), "Self GB/s": (1e9, "byte/s"), "Self AI": (1.0, "FLOP/byte"),
    "Self L2 Memory GB": (1e9, "byte"), "Self L3 Memory GB": (1e9, "byte"), "Self DRAM Memory GB": (1e9, "byte"),
}  # fmt: skip
MOST_ROWS: Final = 2_000_000
HELP: Final = "write it with advisor --report=survey --show-all-columns --format=csv"


@dataclass(frozen=True, slots=True)
class Advisor:
    """Loops and functions with their operations and traffic."""

    name: str = "advisor"
    title: str = "Intel Advisor survey with FLOPs (CSV)"

    def recognises(self, head: Head) -> bool:
        """By a heading with Advisor's own columns."""
        return heading(decoded(head.text).split("\n"), _wanted) is not None

    def read(self, path: Path, limits: Limits) -> Trace:
        """Every row; BadFile where there is none."""
        taken = Taken()
        with unpacked(path, limits) as source:
            source_lines = lines(source)
            found = heading(source_lines, _wanted)
            if found is None:
                raise BadFile(f"{path} has no heading of Advisor's survey; {HELP}.")
            for row in rows(source_lines, *found):
                taken.take(row, path)
            cut = source.cut
        if not taken.names_of:
            raise BadFile(f"{path} holds no loop or function; {HELP}.")
        return taken.trace(str(path), cut)


def _wanted(cells: set[str]) -> bool:
    return NAME in cells and bool(cells.intersection(("Self GFLOP", "Self GFLOPS", "Self Time", "Self Elapsed Time")))


@dataclass(slots=True)
class Taken:
    """Rows met so far."""

    names: Names = field(default_factory=Names)
    names_of: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})
    broken: int = 0

    def take(self, row: dict[str, str], path: Path) -> None:
        """One row; one of another length is counted in `broken`."""
        if not row.get(NAME):
            self.broken += 1
            return
        if len(self.names_of) >= MOST_ROWS:
            raise BadFile(f"{path} holds more than {MOST_ROWS:,} rows, which no survey does.")
        self.names_of.append(self.names[row[NAME]])
        spent = next((x for x in (time(row, name) for name in TIMES) if x is not None), -1)
        self.durations.append(spent)
        for name, (factor, _) in METRICS.items():
            value = amount(row, name)
            self.values[name].append(np.nan if value is None else value * factor)

    def trace(self, source: str, cut: str) -> Trace:
        """The loops as what the processor did."""
        kernels = Kernels.of(start=np.zeros(len(self.names_of), np.int64), end=self.durations, name=self.names_of)
        metrics = tuple(
            Metric(name, METRICS[name][1], np.array(values)) for name, values in self.values.items()
            if not np.isnan(values).all()
        )  # fmt: skip
        unread = (
            (Unread("lines that are no rows", self.broken, "they have another length"),) if self.broken else ()
        ) + ((Unread("the end of the file", 1, cut),) if cut else ())
        return Trace(
            source=source, format="advisor", devices=(Device(0, vendor="cpu"),), names=self.names.texts(),
            kernels=kernels, metrics=metrics, timeline=False, unread=unread, notes=tuple(_notes(metrics)),
        )  # fmt: skip


def _notes(metrics: tuple[Metric, ...]) -> list[str]:
    if any(metric.name.startswith("Self GFLOP") for metric in metrics):
        return []
    return ["The survey has no FLOPs: collect with advisor --collect=roofline and report with --show-all-columns."]


READER: Final = Advisor()
