"""READER of Intel VTune's reports, as CSV.

    vtune -report hotspots -group-by computing-task -format csv -csv-delimiter comma      kernels of a GPU
    vtune -report hotspots -format csv -csv-delimiter comma                               functions of the processor

Of a computing task VTune gives the sum of its instances: each of them stands here with its share, without a time of its
own. Of a function it gives sampled processor time over all threads, which is a series here and no event.
Source: Intel VTune Profiler user guide, "Generate Command Line Reports" and "vtune -report hotspots".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flopsight.errors import BadFile
from flopsight.readers.intel.columns import amount, heading, rows, time
from flopsight.readers.limits import Limits, unpacked
from flopsight.readers.reader import Head
from flopsight.readers.samples import Samples
from flopsight.readers.text import decoded, lines
from flopsight.trace import Device, Kernels, Names, Trace, Unread

TASK, FUNCTION = "Computing Task", "Function"
TOTALS: Final = ("Computing Task:Total Time", "Total Time")
COUNTS: Final = ("Computing Task:Instance Count", "Instance Count")
PROCESSOR: Final = "CPU Time"
MOST_CALLS: Final = 5_000_000
HELP: Final = (
    "write it with vtune -report hotspots -format csv -csv-delimiter comma (-group-by computing-task for a GPU)"
)


@dataclass(frozen=True, slots=True)
class Vtune:
    """Time by kernel of a GPU or by function of the processor."""

    name: str = "vtune"
    title: str = "Intel VTune hotspots (CSV)"

    def recognises(self, head: Head) -> bool:
        """By a heading with VTune's own columns."""
        return heading(decoded(head.text).split("\n"), _wanted) is not None

    def read(self, path: Path, limits: Limits) -> Trace:
        """Every row; BadFile where there is none."""
        taken = Taken()
        with unpacked(path, limits) as source:
            source_lines = lines(source)
            found = heading(source_lines, _wanted)
            if found is None:
                raise BadFile(f"{path} has no heading of VTune's reports; {HELP}.")
            for row in rows(source_lines, *found):
                taken.take(row)
            cut = source.cut
        if not taken.calls and not len(taken.samples):
            raise BadFile(f"{path} holds no task or function with a time; {HELP}.")
        return taken.trace(str(path), cut)


def _wanted(cells: set[str]) -> bool:
    return (TASK in cells and not cells.isdisjoint(TOTALS)) or (FUNCTION in cells and PROCESSOR in cells)


@dataclass(slots=True)
class Taken:
    """Rows met so far."""

    names: Names = field(default_factory=Names)
    calls: list[tuple[int, int, int]] = field(default_factory=list)
    samples: Samples = field(default_factory=Samples)
    count: int = 0
    broken: int = 0

    def take(self, row: dict[str, str]) -> None:
        """One row; one without a name or a time is counted in `broken`."""
        spent = next((x for x in (time(row, name) for name in (*TOTALS, PROCESSOR)) if x is not None), None)
        if spent is None or not (row.get(TASK) or row.get(FUNCTION)):
            self.broken += 1
        elif TASK in row:
            self._task(row, spent)
        else:
            self.samples.add(row[FUNCTION], spent, "ns", {"of": PROCESSOR, "module": row.get("Module", "")})

    def _task(self, row: dict[str, str], spent: int) -> None:
        said = next((x for x in (amount(row, name) for name in COUNTS) if x is not None), 1.0)
        if not 1 <= said <= MOST_CALLS - self.count:
            self.broken += 1
            return
        self.count += int(said)
        self.calls.append((self.names[row[TASK]], int(said), spent))

    def trace(self, source: str, cut: str) -> Trace:
        """Tasks as kernels, functions as series."""
        durations = [spent // calls + (i < spent % calls) for _, calls, spent in self.calls for i in range(calls)]
        name = [number for number, calls, _ in self.calls for _ in range(calls)]
        kernels = Kernels.of(start=[0] * len(name), end=durations, name=name)
        unread = (
            (Unread("lines without a time", self.broken, "they are no rows of the table"),) if self.broken else ()
        ) + ((Unread("the end of the file", 1, cut),) if cut else ())
        device = Device(0, vendor="intel" if self.calls else "cpu")
        return Trace(
            source=source, format="vtune", devices=(device,), names=self.names.texts(), kernels=kernels,
            series=self.samples.series(), timeline=False, unread=unread, notes=SHARES if self.calls else (),
        )  # fmt: skip


SHARES: Final = (
    "The table gives sums: each instance stands here with its share of its row's sum, and without a time.",
)
READER: Final = Vtune()
