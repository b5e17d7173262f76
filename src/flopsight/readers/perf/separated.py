"""`perf stat -x SEP`: values between separators, the columns told by what stands in them.

    [time SEP] [place SEP [count SEP]] value SEP unit SEP event [SEP cgroup] [SEP noise%] SEP runtime SEP running%
    [SEP metric SEP metric's unit]

The separator may be anything, and may stand inside of an event between slashes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from flopsight.readers.perf.row import MISSING, Row, counted, derived
from flopsight.readers.samples import WHOLE, nanoseconds, number

TAIL: Final = re.compile(r"(?<![\d.])\d{1,20}([^\w.<>\n]{1,8})\d{1,3}[.,]\d\d(?=\1|$)")
"""Runtime and per cent, which no other line has side by side."""
TIME: Final = re.compile(r"\s*\d{1,10}[.,]\d{9}$")
PLACE: Final = re.compile(r"(?P<cpu>CPU\d+)$|(?P<core>S\d+-D\d+-C\d+)$|(?P<die>S\d+-D\d+)$|(?P<socket>S\d+)$"
                          r"|(?P<node>N\d+)$|(?P<thread>.*\D.*-\d+)$")  # fmt: skip
PERCENT: Final = re.compile(r"\d{1,3}[.,]\d\d$")
NOISE: Final = re.compile(r"[\d.,]+%$")
LOOK: Final = 200


@dataclass(slots=True)
class Separated:
    """Rows of the lines; `broken` are lines that are no rows."""

    separator: str
    broken: list[str] = field(default_factory=list)
    repeated: int = 0
    last: tuple[str, int, tuple[tuple[str, str], ...]] = ("", WHOLE, ())

    def rows(self, lines: Iterable[str]) -> Iterator[Row]:
        """All of them, in order; rows of the summary behind intervals are counted in `repeated`."""
        for line in lines:
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            cells = line.split(self.separator)
            if cells[0].strip() == "summary":
                self.repeated += 1
                continue
            found = list(self._row(cells))
            if not found:
                self.broken.append(line)
            yield from found

    def _row(self, cells: list[str]) -> Iterator[Row]:
        time, cells = _timed(cells)
        labels, rest = _placed(cells)
        end = _runtime(rest)
        if end < 3:
            yield from self._metric(rest)
            return
        event, more = _event(rest[2:end], self.separator)
        self.last = (event, time, labels + more)
        running = number(rest[end + 1].replace(",", "."))
        yield counted(event, rest[0], rest[1], time, labels + more, 100.0 if running is None else running)
        yield from self._metric(rest[end + 2 :])

    def _metric(self, cells: list[str]) -> Iterator[Row]:
        """What perf worked out of the counter: the last two cells."""
        if len(cells) < 2 or any(cell.strip() for cell in cells[:-2]):
            return
        event, time, labels = self.last
        made = derived(cells[-2].replace(",", "."), cells[-1], event, time, labels)
        if made is not None:
            yield made


def separator(text: str) -> str:
    """What separates the cells of most lines; "" where none is a line of perf."""
    votes: Counter[str] = Counter()
    for line in text.split("\n")[:LOOK]:
        line = line.rstrip("\r")
        found = TAIL.search(line) if not line.lstrip().startswith("#") else None
        if found is not None and any(Separated(found[1]).rows([line])):
            votes[found[1]] += 1
    return votes.most_common(1)[0][0] if votes else ""


def _timed(cells: list[str]) -> tuple[int, list[str]]:
    if not TIME.match(cells[0]):
        return WHOLE, cells
    found = nanoseconds(number(cells[0].replace(",", ".")))
    return (WHOLE if found is None else found), cells[1:]


def _placed(cells: list[str]) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Where the counter counted, and the cells from its value on."""
    found = PLACE.match(cells[0].strip()) if cells and not _is_value(cells[0]) else None
    if found is None:
        return (), cells
    kind = str(found.lastgroup)
    label = ((kind, found[0].removeprefix("CPU")),)
    single = kind in ("cpu", "thread") or len(cells) < 2 or (kind == "core" and not _is_value(cells[2:3]))
    return label, cells[1:] if single else cells[2:]


def _is_value(cell: str | list[str]) -> bool:
    text = (cell[0] if cell else "") if isinstance(cell, list) else cell
    return text.strip() in MISSING or number(text.strip().replace(",", ".")) is not None


def _runtime(cells: list[str]) -> int:
    """Place of the runtime; 0 where these cells are no counter."""
    if not cells or not _is_value(cells[0]):
        return 0
    for at in range(3, len(cells) - 1):
        if cells[at].isascii() and cells[at].isdigit() and PERCENT.match(cells[at + 1]):
            return at
    return 0


def _event(cells: list[str], between: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The event, and its control group where one stands behind it."""
    if len(cells) > 1 and NOISE.match(cells[-1]):
        cells = cells[:-1]
    name = cells[0]
    for at, cell in enumerate(cells[1:], 1):
        if name.count("/") % 2 == 0:
            return name, (("cgroup", between.join(cells[at:])),)
        name += between + cell
    return name, ()
