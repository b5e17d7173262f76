"""CSV files by their header, row by row, within bounds."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits, unpacked
from flopsight.readers.text import lines

MOST_CELL: Final = 1 << 20
MOST_COLUMNS: Final = 100_000


def rows(path: Path, limits: Limits) -> Iterator[dict[str, str]]:
    """Each row as {column: cell}; rows that are shorter lack their last columns.

    Raises BadFile for a line that is no CSV.
    """
    csv.field_size_limit(MOST_CELL)
    with unpacked(path, limits) as source:
        reader = csv.reader(line.replace("\0", "") for line in lines(source))
        try:
            header = [name.strip() for name in next(reader, [])]
            if len(header) > MOST_COLUMNS:
                raise BadFile(f"{path} has {len(header):,} columns, which no profile has.")
            for cells in reader:
                if cells:
                    yield dict(zip(header, cells, strict=False))
        except csv.Error as error:
            raise BadFile(f"{path} is no CSV after line {reader.line_num} ({error}).") from error


def header_of(text: bytes) -> set[str]:
    """The columns of a file's first line."""
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace").strip("\ufeff\r ")
    try:
        return {name.strip() for name in next(csv.reader([first[:MOST_CELL]]), [])}
    except csv.Error:
        return set()
