"""SQLite databases of profilers: opened read-only, columns by name where they exist, and never without end."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits

MAGIC: Final = b"SQLite format 3\x00"
MOST_SECONDS: Final = 600.0
STEPS: Final = 100_000
"""Instructions of the database between two looks at the clock."""
ROWS: Final = 50_000
BROKEN: Final = (sqlite3.Error, ValueError, OverflowError, UnicodeDecodeError)


class Database:
    """What a reader asks of a file: which tables and columns there are, and whole columns."""

    def __init__(self, path: Path, plain: Path) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(f"{plain.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")
            self._deadline = time.monotonic() + MOST_SECONDS
            self._db.set_progress_handler(lambda: time.monotonic() > self._deadline, STEPS)
            rows = self._db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
        except BROKEN as error:
            raise self._bad(error) from error
        self.tables = {str(name) for (name,) in rows if isinstance(name, str)}

    def _bad(self, error: Exception) -> BadFile:
        return BadFile(f"{self._path} cannot be read as a database ({error}); export it again.")

    def has(self, table: str) -> bool:
        """Whether the table (or view) is there."""
        return table in self.tables

    def count(self, table: str) -> int:
        """Rows of a table; 0 where it is absent."""
        if not self.has(table):
            return 0
        return int(self.rows(f"SELECT COUNT(*) FROM {quoted(table)}")[0][0])  # noqa: S608

    def names(self, table: str) -> set[str]:
        """Columns of a table."""
        return {str(row[1]) for row in self.rows(f"PRAGMA table_info({quoted(table)})")}

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a small answer."""
        try:
            return self._db.execute(query, values).fetchall()
        except BROKEN as error:
            raise self._bad(error) from error

    def columns(self, table: str, wanted: Sequence[str], where: str = "") -> dict[str, Any]:
        """Whole-number columns of a table as arrays; -1 for absent columns, missing and odd values.

        Numbers that do not fit 64 bits are -1 too.
        """
        there = self.names(table)
        asked = [name for name in wanted if name in there]
        parts: list[Any] = []
        for rows in self._pieces(table, asked, where):
            parts.append(_whole(rows, len(asked)))
        joined = np.concatenate(parts) if parts else np.empty((0, len(asked)), np.int64)
        size = len(joined)
        found = {name: joined[:, i] for i, name in enumerate(asked)}
        return {name: found.get(name, np.full(size, -1, np.int64)) for name in wanted}

    def texts(self, table: str, column: str, where: str = "") -> list[str | None]:
        """A column of texts."""
        return [
            value if isinstance(value, str) else None if value is None else str(value)
            for rows in self._pieces(table, [column], where)
            for (value,) in rows
        ]

    def _pieces(self, table: str, columns: Sequence[str], where: str) -> Iterator[list[Any]]:
        if not columns:
            return
        listed = ", ".join(quoted(name) for name in columns)
        try:
            cursor = self._db.execute(f"SELECT {listed} FROM {quoted(table)} {where} ORDER BY rowid")  # noqa: S608
            while rows := cursor.fetchmany(ROWS):
                yield rows
        except BROKEN as error:
            raise self._bad(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def quoted(name: str) -> str:
    """An identifier that is an identifier whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def _whole(rows: list[Any], width: int) -> Any:
    try:
        found = np.array(rows, dtype=np.int64)
        if found.shape == (len(rows), width):
            return found
    except (TypeError, ValueError, OverflowError):
        pass
    return np.array([[_number(v) for v in row] for row in rows], np.int64).reshape(len(rows), width)


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return -1
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return -1
    return number if -(2**63) <= number < 2**63 else -1


@contextmanager
def database(path: Path, limits: Limits) -> Iterator[Database]:
    """A file, unpacked where it is packed, as a database. Raises BadFile where it is none."""
    from flopsight.readers.disk import on_disk

    with on_disk(path, limits) as plain:
        found = Database(path, plain)
        try:
            yield found
        finally:
            found.close()
