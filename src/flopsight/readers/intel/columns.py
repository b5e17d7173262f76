"""Tables in CSV whose columns are found by their headings, behind any banner that a tool prints first."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from flopsight.readers.samples import number

DELIMITERS: Final = (",", "\t", ";", "|")
AMOUNT: Final = re.compile(r"<?\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(%|[A-Za-z/]*)$")
SECONDS: Final = {"": 1e9, "s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0, "sec": 1e9, "min": 60e9, "h": 3600e9}
LOOK: Final = 200
"""Lines in which a heading is looked for."""


def heading(lines: Iterable[str], wanted: Callable[[set[str]], bool]) -> tuple[str, list[str]] | None:
    """Delimiter and cells of the first line whose cells are wanted."""
    for _, line in zip(range(LOOK), lines, strict=False):
        for delimiter in DELIMITERS:
            cells = _cells(line, delimiter)
            if len(cells) > 1 and wanted(set(cells)):
                return delimiter, cells
    return None


def rows(lines: Iterable[str], delimiter: str, columns: list[str]) -> Iterator[dict[str, str]]:
    """Each line as cells by heading; {} for a line of another length."""
    for line in lines:
        if line.strip():
            cells = _cells(line, delimiter)
            yield dict(zip(columns, cells, strict=False)) if len(cells) == len(columns) else {}


def amount(row: Mapping[str, str], name: str) -> float | None:
    """A number with whatever unit stands behind it; None where there is none."""
    found = AMOUNT.match(row.get(name, "").strip()[:64])
    return None if found is None else number(found[1])


def time(row: Mapping[str, str], name: str) -> int | None:
    """A time in ns: seconds where no unit stands behind it."""
    found = AMOUNT.match(row.get(name, "").strip()[:64])
    value = None if found is None else number(found[1])
    if found is None or value is None or found[2] not in SECONDS or not 0 <= value < 1e9:
        return None
    return round(value * SECONDS[found[2]])


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line.replace("\0", "")], delimiter=delimiter), [])]
    except csv.Error:
        return []
