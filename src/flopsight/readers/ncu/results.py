"""What one entry of a report says of a kernel, and one header of the session it was measured in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flopsight.readers.ncu.launches import UNKNOWN, Launches, Three
from flopsight.readers.ncu.units import unit_of
from flopsight.readers.protobuf import EIGHT, FOUR, VARINT, Fields, double, fields, single
from flopsight.readers.shredded import Shreds, repeated, shred

MANGLED, FUNCTION, DEMANGLED, GRID, BLOCK, METRICS = 5, 6, 7, 10, 11, 13
SECTIONS, RULES, NVTX, STREAM = 17, 19, 21, 23
"""Fields of a kernel's entry."""
NAME, VALUE, INSTANCES = 1, 2, 3
"""Fields of a metric: the number of its name, its value, its values by instance."""
TEXT, FLOAT, DOUBLE, UINT32, UINT64 = 1, 2, 3, 4, 5
"""Fields of a value, of which it has one."""
CREATED, ATTRIBUTES, VERSIONS, SETTINGS, CLOCK_CONTROL = 2, 6, 8, 10, 8
"""Fields of a session, and of its settings."""
OPCODES: Final = "_per_opcode"
DEVICE: Final = "launch__device_id"


@dataclass(frozen=True, slots=True)
class Names:
    """Names of metrics by their numbers, and the number of the one that says the device (-1: none)."""

    strings: Sequence[str]
    device: int = -1

    def of(self, number: int) -> str:
        """The name of a number; "" where the file has none."""
        return self.strings[number] if 0 <= number < len(self.strings) else ""


def result(data: bytes, low: int, high: int, names: Names, into: Launches) -> None:
    """One kernel: its names, grid and block, and every metric with a number."""
    begins, ends, rest = repeated(data, low, high, METRICS)
    name = next((text for number in (DEMANGLED, FUNCTION, MANGLED) if (text := rest.text(data, number))), "")
    stream = rest.number(STREAM) if any(row[0] == STREAM for row in rest) else -1
    at = into.add(name, _three(data, rest, GRID), _three(data, rest, BLOCK), stream)
    metrics = shred(data, begins, ends)
    values, texts = _values(data, metrics)
    numbers = metrics.last(NAME, -1).tolist()
    if names.device in numbers and 0 <= (found := values[numbers.index(names.device)]) < 2**31:
        into.devices[at] = int(found)
    for place, (number, value) in enumerate(zip(numbers, values.tolist(), strict=True)):
        metric = names.of(number)
        if not metric:
            into.lose("metrics", "their names are not in the file")
        elif not math.isnan(value):
            into.put(at, metric, unit_of(metric), value)
        elif texts[place]:
            into.lose("values that are texts", "settings are not counters")
    _instances(data, metrics, numbers, names, at, into)
    _others(rest, metrics, into)


def _three(data: bytes, rest: Fields, number: int) -> Three:
    for low, high in rest.parts(number)[-1:]:
        found = fields(data, low, high)
        x, y, z = (found.number(part) for part in (1, 2, 3))
        if max(x, y, z) < 2**31:
            return x, y, z
    return UNKNOWN


def _values(data: bytes, metrics: Shreds) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """By metric its number, NaN where it has none, and whether it is a text."""
    held = shred(data, *metrics.spans(VALUE))
    found = np.full(held.size, np.nan)
    for number, wire, kind in ((DOUBLE, EIGHT, np.float64), (FLOAT, FOUR, np.float32)):
        mine = (held.number == number) & (held.wire == wire)
        width = held.value[mine] if kind is np.float64 else held.value[mine].astype(np.uint32)
        found[held.message[mine]] = width.view(kind)
    whole = np.isin(held.number, (UINT32, UINT64)) & (held.wire == VARINT)
    found[held.message[whole]] = held.value[whole]
    found[~np.isfinite(found)] = np.nan
    return found, held.has(TEXT)


def _instances(data: bytes, metrics: Shreds, numbers: list[int], names: Names, at: int, into: Launches) -> None:
    """Values by opcode as metrics "name[opcode]"; those by address of the code are counted only."""
    message, low, high = metrics.parts(INSTANCES)
    for number, begin, end in zip(np.array(numbers)[message].tolist(), low.tolist(), high.tolist(), strict=True):
        name = names.of(number)
        opcode, value = _instance(data, begin, end) if OPCODES in name else ("", math.nan)
        if isinstance(opcode, str) and opcode and not math.isnan(value):
            into.put(at, f"{name}[{opcode}]", "inst", value)
        else:
            into.lose("values by instance", "by address of the code, or by size of a block: no formula here needs them")


def _instance(data: bytes, low: int, high: int) -> tuple[str | float, float]:
    found = fields(data, low, high)
    which, what = (next((scalar(data, *part) for part in found.parts(number)), "") for number in (1, 2))
    return which, what if isinstance(what, float) else math.nan


def scalar(data: bytes, low: int, high: int) -> str | float:
    """A value by itself: a text, or any of its numbers; "" where it has none."""
    for number, wire, value, end in reversed(fields(data, low, high).rows):
        if number == TEXT and wire not in (VARINT, EIGHT, FOUR):
            return data[value:end].decode("utf-8", "replace")
        if number in (UINT32, UINT64) and wire == VARINT:
            return float(value)
        if (number, wire) in ((DOUBLE, EIGHT), (FLOAT, FOUR)):
            return double(value) if wire == EIGHT else single(value)
    return ""


def _others(rest: Fields, metrics: Shreds, into: Launches) -> None:
    counts = {number: sum(row[0] == number for row in rest) for number in (SECTIONS, RULES, NVTX)}
    for number, what, why in (
        (SECTIONS, "sections", "they say how ncu draws its page"),
        (RULES, "rules", "ncu's own advice, which is not numbers"), (NVTX, "NVTX ranges", "they are not counters"),
    ):  # fmt: skip
        if counts[number]:
            into.lose(what, why, counts[number])
    damaged = int(metrics.broken.sum()) + bool(rest.damage)
    if damaged:
        into.lose("parts of a kernel's entry", rest.damage or "a metric in it is damaged", damaged)


def session(data: bytes, low: int, high: int, into: Launches) -> None:
    """Devices, versions and settings of a session."""
    found = fields(data, low, high)
    for begin, end in found.parts(ATTRIBUTES):
        _attributes(data, fields(data, begin, end), into)
    for begin, end in found.parts(VERSIONS):
        version = fields(data, begin, end)
        into.marks.setdefault("versions", {})[version.text(data, 1)[:80]] = version.text(data, 2)[:80]
    for begin, end in found.parts(SETTINGS):
        if clock := fields(data, begin, end).text(data, CLOCK_CONTROL)[:40]:
            into.marks["clock_control"] = clock
    if created := found.number(CREATED):
        into.marks["created"] = created


def _attributes(data: bytes, found: Fields, into: Launches) -> None:
    number = found.number(1)
    if number >= 2**31:
        return
    if name := found.text(data, 2):
        into.know(number, "display_name", name)
    for low, high in found.parts(3):
        one = fields(data, low, high)
        held: Any = next((scalar(data, *part) for part in one.parts(2)), "")
        into.know(number, one.text(data, 1).removeprefix("device__attribute_"), held)
