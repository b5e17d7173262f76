"""From a TOML file to a checked record: base units, types, ranges; every complaint names file and field."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from flopsight.errors import BadConfig, BadFile, UsageError
from flopsight.hardware.dtype_names import DTYPES, dtype_name
from flopsight.hardware.record import ChipRecord
from flopsight.units import parse

LARGEST_FILE: Final = 1 << 20
_LARGEST_VALUE: Final = 1e24  # a yotta-anything is a slip of the prefix
_TEXT_KEYS: Final = frozenset({"value", "chosen"})
R = TypeVar("R")

# The dimension of each field that may be written with a unit, by its path; `*` is any key.
DIMENSIONS: Final[dict[tuple[str, ...], str]] = {
    ("clock", "*"): "Hz",
    ("peak", "matrix", "*"): "FLOP/s", ("peak", "vector", "*"): "FLOP/s",
    ("peak", "alternatives", "rate"): "FLOP/s", ("peak", "headline", "rate"): "FLOP/s",
    ("sparsity", "rates", "*"): "FLOP/s",
    ("memory", "bytes"): "B", ("memory", "driver_visible"): "B", ("memory", "bandwidth"): "B/s",
    ("memory", "tiers", "bytes"): "B", ("memory", "tiers", "bandwidth"): "B/s",
    ("on_chip", "*"): "B", ("power", "watts"): "W",
    ("links", "scale_up", "one_way"): "B/s", ("links", "scale_up", "pair"): "B/s",
    ("links", "scale_up", "per_link"): "B/s",
    ("links", "host", "one_way"): "B/s", ("links", "scale_out", "one_way"): "B/s",
    ("measured", "rate"): "FLOP/s", ("measured", "bandwidth"): "B/s", ("measured", "message"): "B",
    ("measured", "seconds"): "s",
    ("one_way",): "B/s", ("per_link",): "B/s", ("latency", "value"): "s", ("latency", "high"): "s",
    ("skus", "base"): "Hz", ("skus", "all_core"): "Hz", ("skus", "boost"): "Hz", ("skus", "watts"): "W",
    ("skus", "memory_bandwidth"): "B/s",
}  # fmt: skip


def read_toml(path: Path) -> dict[str, Any]:
    """Parse one TOML file of at most 1 MiB; BadFile if it is missing, larger, binary or not TOML."""
    try:
        with path.open("rb") as stream:
            blob = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise BadFile(f"Expected a hardware file at {path} and could not read it: {error.strerror or error}.") from None
    if len(blob) > LARGEST_FILE:
        raise BadFile(
            f"{path} is larger than 1 MiB; a hardware file holds one chip in a few KiB. Is it the right file?"
        )
    try:
        return tomllib.loads(blob.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadFile(f"{path} is not text; expected TOML in UTF-8 with one chip.") from None
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise BadFile(f"{path} is not valid TOML: {error}. Each line is `key = value`, strings in quotes.") from None


def to_record(raw: dict[str, Any], kind: type[R], where: str) -> R:
    """Check a parsed table against its record type; BadConfig names the file, the field and what was read."""
    plain = _in_base_units(raw, (), where)
    try:
        return msgspec.convert(plain, kind, strict=True)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{where}: {_complaint(error, plain)}") from None


def read_chip(path: Path) -> ChipRecord:
    """Read one chip file; BadFile or BadConfig with file, field and value."""
    record = to_record(read_toml(path), ChipRecord, str(path))
    _check_chip(record, str(path))
    return record


def _in_base_units(value: object, path: tuple[str, ...], where: str) -> object:
    """Walk the table, turn every quantity into a number and refuse NaN, infinity, negatives and absurd sizes."""
    if isinstance(value, dict):
        return {key: _in_base_units(item, (*path, key), where) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_base_units(item, path, where) for item in value]
    if isinstance(value, str) and not value.replace("\n", "").isprintable():
        raise BadConfig(f"{where}: field {'.'.join(path)}: expected plain text and read {value!a:.80}.")
    if isinstance(value, str) and (dimension := _dimension(path)):
        try:
            value = parse(value, dimension)
        except UsageError as error:
            raise BadConfig(f"{where}: field {'.'.join(path)}: {error}") from None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and path and path[-1] not in _TEXT_KEYS:
        _check_range(value, path, where)
        if isinstance(value, float) and value.is_integer() and _dimension(path):
            return int(value)
    return value


def _dimension(path: tuple[str, ...]) -> str | None:
    return DIMENSIONS.get(path) or DIMENSIONS.get((*path[:-1], "*"))


def _check_range(value: float, path: tuple[str, ...], where: str) -> None:
    if not math.isfinite(value) or value < 0 or value > _LARGEST_VALUE or (value == 0 and _dimension(path)):
        raise BadConfig(
            f"{where}: field {'.'.join(path)}: expected a positive, finite number and read {value!r}; "
            "leave the field out if it is not known."
        )


def _complaint(error: msgspec.ValidationError, plain: object) -> str:
    """Turn msgspec's sentence into ours, quoting the value that was read."""
    said, _, at = str(error).partition(" - at `$")
    steps = re.findall(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]", at)
    value, field = plain, ".".join(name or index for name, index in steps)
    for name, index in steps:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and index:
            value = value[int(index)]
    read = f", and read {value!r:.80}" if field and value is not None and not isinstance(value, (dict, list)) else ""
    return f"field {field or '(top level)'}: {said}{read}. See docs/hardware.md for the fields of a chip file."


def _check_chip(record: ChipRecord, where: str) -> None:
    """Refuse what types cannot: unknown number formats, an id with spaces, no units, no devices."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,79}", record.id):
        raise BadConfig(
            f"{where}: field id: expected lower-case letters, digits, '-' and '.', and read {record.id!r}; "
            "try 'my-chip-80gb'."
        )
    if record.software_devices < 1 or record.memory.bytes < 1:
        raise BadConfig(
            f"{where}: field software_devices or memory.bytes: expected at least 1; leave out what is not known."
        )
    for group, rates in (("matrix", record.peak.matrix), ("vector", record.peak.vector)):
        for dtype in rates:
            if dtype not in DTYPES:
                raise BadConfig(
                    f"{where}: field peak.{group}.{dtype}: not a number format of the catalogue; "
                    f"use one of {', '.join(DTYPES)}."
                )
    headline = [record.peak.headline.dtype] if record.peak.headline else []
    for dtype in [*headline, *record.sparsity.dtypes, *(each.dtype for each in record.peak.alternatives)]:
        try:
            dtype_name(dtype)
        except UsageError as error:
            raise BadConfig(f"{where}: field dtype of peak or sparsity: {error}") from None
    if record.sparsity.multiplier is not None and record.sparsity.multiplier < 1:
        raise BadConfig(
            f"{where}: field sparsity.multiplier: expected at least 1 and read {record.sparsity.multiplier!r}."
        )
