"""`perf stat -j`: one or more objects a line.

Versions differ: values as numbers or texts, a comma before the closing brace, "nan" as C prints it, metrics alone in an
object behind their counter, and with --metric-only the names either once before all or as keys.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from flopsight.readers.perf.row import PLACES, Row, counted, derived
from flopsight.readers.samples import WHOLE, nanoseconds, number

COMMA: Final = re.compile(r",\s*\}")
NAN: Final = re.compile(r":\s*-?(?:nan|inf)\b")
DECODER: Final = json.JSONDecoder(parse_constant=lambda _: None, parse_int=str, parse_float=str)
KNOWN: Final = frozenset(PLACES) | {
    "interval", "event", "counter-value", "unit", "metric-value", "metric-unit", "event-runtime", "pcnt-running",
    "variance", "aggregate-number", "counters", "metricgroup", "metric-threshold",
}  # fmt: skip


Labels = tuple[tuple[str, str], ...]
NOWHERE: Final[Labels] = ()


@dataclass(slots=True)
class Objects:
    """Rows of the lines; `broken` are lines that are no objects."""

    broken: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    last: tuple[str, int, Labels] = ("", WHOLE, ())

    def rows(self, lines: Iterable[str]) -> Iterator[Row]:
        """All of them, in order."""
        for line in lines:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            found = list(objects(line))
            if not found:
                self.broken.append(line)
            elif all(set(one) <= {"unit"} for one in found):
                self.headings = [str(one["unit"]) for one in found if "unit" in one]
            else:
                yield from self._line(found)

    def _line(self, found: list[dict[str, Any]]) -> Iterator[Row]:
        column = 0
        time, labels = WHOLE, NOWHERE
        for one in found:
            if "interval" in one or "event" in one or set(one) & set(PLACES):
                time, labels = _time(one), _places(one)
            if "event" in one:
                yield from self._counter(one, time, labels)
            elif "metric-unit" in one:
                yield from self._more(one, time, labels)
            elif "metric-value" in one:
                yield from self._under(one, column, time, labels)
                column += 1
            else:
                yield from _keys(one, time, labels)

    def _counter(self, one: dict[str, Any], time: int, labels: Labels) -> Iterator[Row]:
        event, running = str(one["event"]), number(str(one.get("pcnt-running", "")))
        self.last = (event, time, labels)
        percent = math.nan if running is None else running
        yield counted(event, str(one.get("counter-value")), str(one.get("unit", "")), time, labels, percent)
        yield from self._more(one, time, labels)

    def _more(self, one: dict[str, Any], time: int, labels: Labels) -> Iterator[Row]:
        event, its_time, its_labels = self.last
        made = derived(
            str(one.get("metric-value")), str(one.get("metric-unit") or ""), event,
            its_time if time == WHOLE else time, labels or its_labels,
        )  # fmt: skip
        if made is not None:
            yield made

    def _under(self, one: dict[str, Any], column: int, time: int, labels: Labels) -> Iterator[Row]:
        """A metric under its heading (--metric-only of 6.1)."""
        named = self.headings[column] if column < len(self.headings) else ""
        made = derived(str(one["metric-value"]), named, "", time, labels)
        if made is not None:
            yield made


def objects(line: str) -> Iterator[dict[str, Any]]:
    """The objects on a line, as far as they can be read."""
    try:
        plain = DECODER.decode(line)
    except (ValueError, RecursionError):
        yield from _loose(NAN.sub(": null", COMMA.sub("}", line)))
        return
    if isinstance(plain, dict):
        yield plain


def _loose(line: str) -> Iterator[dict[str, Any]]:
    at = 0
    while at < len(line):
        try:
            one, at = DECODER.raw_decode(line, at)
        except (ValueError, RecursionError):
            return
        if isinstance(one, dict):
            yield one
        while at < len(line) and line[at] in " \t,":
            at += 1


def _keys(one: dict[str, Any], time: int, labels: Labels) -> Iterator[Row]:
    """Metrics whose names are keys (--metric-only of newer versions)."""
    for name, value in one.items():
        made = None if name in KNOWN else derived(str(value), name, "", time, labels)
        if made is not None:
            yield made


def _time(one: dict[str, Any]) -> int:
    found = nanoseconds(number(str(one.get("interval", ""))))
    return WHOLE if found is None else found


def _places(one: dict[str, Any]) -> Labels:
    return tuple((key, str(one[key])) for key in PLACES if key in one)
