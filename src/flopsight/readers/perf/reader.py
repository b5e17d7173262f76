"""READER of what `perf stat` writes for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits, unpacked
from flopsight.readers.perf.objects import Objects, objects
from flopsight.readers.perf.row import Row
from flopsight.readers.perf.separated import Separated, separator
from flopsight.readers.reader import Head
from flopsight.readers.samples import WHOLE, Samples, short
from flopsight.readers.text import decoded, lines
from flopsight.trace import Device, Trace, Unread

OBJECT: Final = re.compile(r'"(?:counter-value|metric-value|pcnt-running|insn per cycle)"\s*:')
PEOPLE: Final = re.compile(r"^\s*Performance counter stats for ", re.MULTILINE)
LOOK: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Perf:
    """Counters of processors over a run or in intervals."""

    name: str = "perf"
    title: str = "Linux `perf stat -j` and `perf stat -x`"

    def recognises(self, head: Head) -> bool:
        """By an object with a counter's keys, by a line with runtime and per cent, or by the table for people."""
        text = decoded(head.text)
        return _has_objects(text) or bool(PEOPLE.search(text)) or bool(separator(text))

    def read(self, path: Path, limits: Limits) -> Trace:
        """Every counter; BadFile where there is none, or where the file is perf's table for people."""
        with unpacked(path, limits) as source:
            start = decoded(source.read(LOOK))
        form = _form(path, start)
        taken = Taken()
        with unpacked(path, limits) as source:
            taken.take(form.rows(lines(source)))
            cut = source.cut
        if not len(taken.samples):
            raise BadFile(f"{path} holds no counter of perf; write it again with `perf stat -j -o FILE PROGRAM`.")
        return _trace(path, taken, form, cut)


@dataclass(slots=True)
class Taken:
    """Rows taken in, with what must be said of them."""

    samples: Samples = field(default_factory=Samples)
    running: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)
    rates: int = 0
    repeated: int = 0

    def take(self, rows: Iterable[Row]) -> None:
        """Every row; what is a summary of intervals, or a rate of a counter that is here, is only counted."""
        intervals = False
        for row in rows:
            intervals = intervals or row.time != WHOLE
            if row.derived and row.event.endswith("/sec"):
                self.rates += 1
            elif intervals and row.time == WHOLE:
                self.repeated += 1
            else:
                self._keep(row)

    def _keep(self, row: Row) -> None:
        self.samples.add(row.event, row.value, row.unit, dict(row.labels), row.time, row.why)
        if row.why:
            self.missing[row.event] = row.why
        elif not row.derived:
            self.counted.add(row.event)
        if row.running < 100:
            self.running[row.event] = min(row.running, self.running.get(row.event, 100.0))


def _has_objects(text: str) -> bool:
    return any(OBJECT.search(line) and any(objects(line.strip())) for line in text.split("\n")[:20])


def _form(path: Path, start: str) -> Objects | Separated:
    if _has_objects(start):
        return Objects()
    between = separator(start)
    if between:
        return Separated(between)
    if PEOPLE.search(start):
        raise BadFile(f"{path} is perf's table for people, with rounded numbers; write it again with `perf stat -j`.")
    return Objects()


def _trace(path: Path, taken: Taken, form: Objects | Separated, cut: str) -> Trace:
    return Trace(
        source=str(path), format="perf", devices=(Device(0, vendor="cpu"),), series=taken.samples.series(),
        timeline=False, marks={"running": dict(taken.running)} if taken.running else {},
        notes=tuple(_notes(taken)), unread=tuple(chain(_unread(taken, form), _cut(cut))),
    )  # fmt: skip


def _notes(taken: Taken) -> Iterator[str]:
    never = {event: why for event, why in taken.missing.items() if event not in taken.counted}
    for why in dict.fromkeys(never.values()):
        events = [event for event, said in never.items() if said == why]
        yield f"perf says {why} of {short(events)}: unknown, not 0.{_help(why)}"
    if taken.running:
        least = min(taken.running, key=lambda event: taken.running[event])
        yield (
            f"{len(taken.running)} counters took turns in the hardware and perf scaled them up: {least} was counted in "
            f"{taken.running[least]:.2f} % of the time. Ask for fewer counters at once for exact values."
        )


def _help(why: str) -> str:
    if why == "<not supported>":
        return " This machine shows no such counter; virtual machines often have none at all."
    return ""


def _unread(taken: Taken, form: Objects | Separated) -> Iterator[Unread]:
    repeated = taken.repeated + (form.repeated if isinstance(form, Separated) else 0)
    if taken.rates:
        yield Unread("rates that perf worked out", taken.rates, "they are a counter that is here by its time")
    if repeated:
        yield Unread("rows of the summary", repeated, "they repeat the sums of the intervals")
    if form.broken:
        yield Unread("lines that are no counters", len(form.broken), f"such as {form.broken[0].strip()[:60]!r}")


def _cut(cut: str) -> Iterator[Unread]:
    if cut:
        yield Unread("the end of the file", 1, cut)


READER: Final = Perf()
