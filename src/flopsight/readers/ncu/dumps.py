"""Lines that hold the details page as JSON, or as the text of a Python dict: {"metrics": {name: {unit, value}}}."""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from flopsight.readers.ncu.launches import Launches
from flopsight.readers.ncu.units import base

VALUES: Final = ("avg_value", "value", "avg", "Average", "Metric Value")
NAMES: Final = ("kernel", "kernel_name", "Kernel Name", "name")
LONGEST: Final = 4 << 20
"""Bytes of a Python text: reading one takes a hundred times as much memory."""
WRONG: Final = (ValueError, SyntaxError, MemoryError, RecursionError, TypeError)


def read(lines: Iterable[str], into: Launches) -> None:
    """A kernel for each line with metrics; other lines are counted."""
    for line in lines:
        record = parsed(line.strip().rstrip(","))
        found = _metrics(record)
        if found is not None and isinstance(record, Mapping):
            _launch(record, *found, into)
        elif line.strip():
            into.lose("lines", "they hold no metrics, or are damaged")


def parsed(text: str) -> Any:
    """A value from JSON or from Python's notation; None where it is neither. Nothing is executed."""
    try:
        return json.loads(text)
    except WRONG:
        pass
    if len(text) > LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except WRONG:
        return None


def _metrics(record: Any, depth: int = 2) -> tuple[str, Mapping[str, Any], Mapping[str, Any]] | None:
    """Where in a record the metrics are: the name of the field, the metrics, and what stands beside them."""
    if not isinstance(record, Mapping):
        return None
    if isinstance(record.get("metrics"), Mapping):
        return "", record["metrics"], record
    for name, value in record.items() if depth else ():
        inner = parsed(value) if isinstance(value, str) and "metrics" in value[:64] else value
        found = _metrics(inner, depth - 1)
        if found is not None:
            return str(name), found[1], found[2]
    return None


def _launch(
    record: Mapping[str, Any], where: str, metrics: Mapping[str, Any], beside: Mapping[str, Any], into: Launches
) -> None:
    name = next((record[key] for key in NAMES if isinstance(record.get(key), str)), "")
    at = into.add(name)
    for metric, said in metrics.items():
        value, unit, times = _value(said)
        factor, unit = base(unit)
        if value is None:
            into.lose("values that are texts", "settings are not counters")
        elif math.isfinite(value):
            into.put(at, str(metric), unit, value * factor)
        if times > 1:
            into.notes[f"Values are averages over {times} launches, as the file says."] = None
    _rest(record, where, beside, into)


def _value(said: Any) -> tuple[float | None, str, int]:
    """A metric's value, unit, and over how many launches it is averaged."""
    if not isinstance(said, Mapping):
        return _real(said), "", 1
    value = next((said[key] for key in VALUES if key in said), None)
    unit, times = said.get("unit", ""), said.get("n", 1)
    return _real(value), unit if isinstance(unit, str) else "", times if isinstance(times, int) else 1


def _real(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _rest(record: Mapping[str, Any], where: str, beside: Mapping[str, Any], into: Launches) -> None:
    """What stands beside the metrics: rules, and fields of whoever wrote the file."""
    rules = beside.get("rules")
    if isinstance(rules, Mapping):
        into.lose("rules", "ncu's own advice, which is not numbers", len(rules))
    for name, value in record.items():
        if name not in ("metrics", "rules", where, *NAMES) and isinstance(value, (str, int, float)):
            into.lose(f"field {str(name)[:40]}", "it is not Nsight Compute's own")


def records(text: str) -> Iterator[str]:
    """The lines of a file, or the whole of it where it is one record over many lines."""
    whole = parsed(text) if text.count("\n") < 100_000 and text.lstrip()[:1] in ("{", "[") else None
    if isinstance(whole, list):
        yield from (json.dumps(one) for one in whole)
    elif isinstance(whole, Mapping):
        yield text
    else:
        yield from text.split("\n")
