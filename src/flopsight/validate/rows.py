"""Reads the rows of published measurements: one JSON object a line, checked before anything uses it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from flopsight.errors import BadFile, UsageError

Table: TypeAlias = Mapping[str, Any]

KINDS: Final = ("train_mfu", "prefill", "decode", "serving", "kernel", "arithmetic")
MOST_FILES: Final = 1000
LARGEST_FILE: Final = 256 * 2**20
LONGEST_LINE: Final = 2**20
MOST_ROWS: Final = 1_000_000
DEEPEST: Final = 12
LARGEST_NUMBER: Final = 1e40
TABLES: Final = ("model", "hardware", "workload", "measured", "problem", "source", "parallelism")
WORDS: Final = ("convention", "expected_use", "published_issue", "notes", "dtype", "quality")


@dataclass(frozen=True, slots=True)
class Row:
    """One published measurement.

    where     file and line it was read from
    model, hardware, workload, measured, problem, source, parallelism   as in the file; empty where absent
    issue     the known fault of the source, "" if there is none
    """

    id: str
    group: str
    kind: str
    where: str
    model: Table
    hardware: Table
    workload: Table
    measured: Table
    problem: Table
    source: Table
    convention: str
    expected_use: str
    notes: str
    dtype: str
    quality: str
    recalled: bool
    issue: str
    parallelism: Table = field(default_factory=dict)

    @property
    def set(self) -> str:
        """Which figures the row belongs to: "clean", or the reason why it is kept apart."""
        if self.issue:
            return "published_issue"
        if self.recalled:
            return "recalled"
        return "clean" if self.quality == "A" else "quality_b"

    def number(self, table: Table, name: str) -> float | None:
        """A number of one of the row's tables, or None; whole numbers stay whole, as they were printed."""
        value = table.get(name)
        return None if value is None else self.checked(name, value)

    def whole(self, table: Table, name: str) -> int | None:
        """A whole number of at least 1, or None where it is absent; BadFile for anything else."""
        value = table.get(name)
        if value is None:
            return None
        if not _is_number(value) or value != int(value) or value < 1:
            raise self.wrong(name, value, "a whole number of at least 1")
        return int(value)

    def checked(self, name: str, value: object) -> float:
        """A value as a number above zero; BadFile if it is something else."""
        if not _is_number(value) or not value > 0:  # type: ignore[operator]
            raise self.wrong(name, value, "a number above zero")
        return value  # type: ignore[return-value]

    def wrong(self, name: str, value: object, wanted: str) -> BadFile:
        """The error for a value that cannot be used."""
        return BadFile(f"{self.where}: {name} should be {wanted}; the row {self.id[:60]} says {_short(value)}.")


def read_rows(folder: str | Path) -> list[Row]:
    """Every row of the *.jsonl files of a folder, by file name and line.

    UsageError where there is no such folder or no such file in it; BadFile, naming file and line, for a line that is
    not a row.
    """
    path = Path(folder)
    if not path.is_dir():
        raise UsageError(
            f"Expected a folder with *.jsonl files of measurements and found none at {str(folder)!r:.200}."
        )
    files = sorted(path.glob("*.jsonl"))
    if not files:
        raise UsageError(f"{path} holds no *.jsonl file; pass the folder that holds the rows.")
    if len(files) > MOST_FILES:
        raise BadFile(f"{path} holds {len(files):,} *.jsonl files; at most {MOST_FILES:,} are read.")
    rows = [row for file in files for row in read_file(file)]
    if len(rows) > MOST_ROWS:
        raise BadFile(f"{path} holds {len(rows):,} rows; at most {MOST_ROWS:,} are read.")
    return rows


def read_file(path: Path) -> Iterator[Row]:
    """The rows of one file."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise BadFile(f"{path.name} is {size:,} bytes long; at most {LARGEST_FILE:,} are read.")
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _row(line, f"{path.name}, line {number}")
    except OSError as error:
        raise BadFile(f"{path.name} cannot be read: {error.strerror or error}.") from error


def _row(line: bytes, where: str) -> Row:
    raw = _decoded(line, where)
    for name in ("id", "group", "kind"):
        if not isinstance(raw.get(name), str) or not raw[name]:
            raise BadFile(f"{where}: {name} should be a string; it is {_short(raw.get(name))}.")
    if raw["kind"] not in KINDS:
        raise BadFile(f"{where}: kind should be one of {', '.join(KINDS)}; it is {_short(raw['kind'])}.")
    tables = {name: _table(raw, name, where) for name in TABLES}
    words = {name: _word(raw, name, where) for name in WORDS}
    return Row(
        id=raw["id"], group=raw["group"], kind=raw["kind"], where=where, model=tables["model"],
        hardware=tables["hardware"], workload=tables["workload"], measured=tables["measured"],
        problem=tables["problem"], source=tables["source"], convention=words["convention"],
        expected_use=words["expected_use"], notes=words["notes"], dtype=words["dtype"], quality=words["quality"],
        recalled=_flag(raw, "recalled", where), issue=words["published_issue"], parallelism=tables["parallelism"],
    )  # fmt: skip


def _decoded(line: bytes, where: str) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise BadFile(f"{where} is {len(line):,} bytes long; at most {LONGEST_LINE:,} are read.")
    try:
        raw = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise BadFile(f"{where} is not a JSON object: {str(error)[:120]}. Was the file cut short?") from error
    if not isinstance(raw, dict):
        raise BadFile(f"{where} should be a JSON object; it is {_short(raw)}.")
    _bounded(raw, where, 0)
    return raw


def _bounded(value: object, where: str, depth: int) -> None:
    """Refuse what is nested too deeply and numbers no measurement has."""
    if depth > DEEPEST:
        raise BadFile(f"{where} is nested deeper than {DEEPEST} levels.")
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _bounded(one, where, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) <= LARGEST_NUMBER:
        raise BadFile(f"{where} holds the number {_short(value)}, beyond {LARGEST_NUMBER:g}.")


def _table(raw: dict[str, Any], name: str, where: str) -> Table:
    value = raw.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadFile(f"{where}: {name} should be an object; it is {_short(value)}.")
    return value


def _word(raw: dict[str, Any], name: str, where: str) -> str:
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadFile(f"{where}: {name} should be a string; it is {_short(value)}.")
    return value


def _flag(raw: dict[str, Any], name: str, where: str) -> bool:
    value = raw.get(name, False)
    if not isinstance(value, bool):
        raise BadFile(f"{where}: {name} should be true or false; it is {_short(value)}.")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: object) -> str:
    shown = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a very large whole number"
    return shown if len(shown) <= 60 else shown[:57] + "..."
