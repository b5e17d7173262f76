"""Values as a file gives them, one after the other, and the series that they make."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from flopsight.errors import BadFile
from flopsight.trace import Series

WHOLE: Final = -1
"""Time of a value over the whole run, or of a value whose time the file does not say."""
MOST_TIME: Final = 1 << 62
TEXT: Final = 300
MOST_SERIES: Final = 500_000
LONGEST: Final = 64
"""Characters of a number."""
Key = tuple[str, str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class _Column:
    times: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    why: str = ""


@dataclass(slots=True)
class Samples:
    """Values by name, unit and labels, in the order in which they are met.

    A second value at the same place (the same counter twice on a command line, two runs in one file) is a series of its
    own with the label `repeat`, so that nothing is added that should not be.
    """

    columns: dict[Key, list[_Column]] = field(default_factory=dict)
    count: int = 0

    def add(
        self, name: str, value: float, unit: str = "", labels: Mapping[str, str] | None = None,
        time: int = WHOLE, why: str = "",
    ) -> None:  # fmt: skip
        """One value; `why` says why it is NaN where it is. Raises BadFile for more series than any tool writes."""
        repeats = self.columns.setdefault((name, unit, tuple((labels or {}).items())), [])
        # the last times of repeats never increase along the list, as a value goes to the first that has room for it
        at = bisect_right(repeats, -time, key=lambda one: -one.times[-1])
        if at == len(repeats):
            repeats.append(_Column())
            self.count += 1
            if self.count > MOST_SERIES:
                raise BadFile(f"more than {MOST_SERIES:,} series of counters were met, which no tool writes.")
        column = repeats[at]
        column.times.append(time)
        column.values.append(value)
        column.why = column.why or (why if math.isnan(value) else "")

    def series(self) -> tuple[Series, ...]:
        """All of them."""
        return tuple(
            Series(name, unit, np.array(one.times, np.int64), np.array(one.values), _numbered(labels, i), one.why)
            for (name, unit, labels), repeats in self.columns.items()
            for i, one in enumerate(repeats, 1)
        )

    def __len__(self) -> int:
        return self.count


def _numbered(labels: tuple[tuple[str, str], ...], number: int) -> dict[str, str]:
    return {**dict(labels), **({"repeat": str(number)} if number > 1 else {})}


def number(text: str) -> float | None:
    """A finite number; None where the text is none. ("1.5", "+2e3"; not "0x1", not "1_000".)"""
    text = text.strip()
    if not 0 < len(text) <= LONGEST or text[0] not in "+-.0123456789" or "_" in text or not text.isascii():
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def nanoseconds(seconds: float | None) -> int | None:
    """Whole nanoseconds; None where that is no time."""
    if seconds is None or not 0 <= seconds * 1e9 < MOST_TIME:
        return None
    return round(seconds * 1e9)


def short(texts: Iterable[str]) -> str:
    """A few of many texts, for a sentence."""
    found = list(dict.fromkeys(texts))
    said = ", ".join(one[:60] for one in found[:3])
    return said[:TEXT] + (" ..." if len(found) > 3 else "")
