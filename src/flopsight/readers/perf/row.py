"""One counter as `perf stat` prints it, whatever the form."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from flopsight.readers.samples import WHOLE, number

MISSING: Final = ("<not supported>", "<not counted>")
"""What perf prints where the machine has no such counter, and where it did not get its turn."""
UNITS: Final = {
    "msec": (1e6, "ns"), "sec": (1e9, "ns"), "ns": (1.0, "ns"), "usec": (1e3, "ns"),
    "MiB": (2.0**20, "byte"), "KiB": (2.0**10, "byte"), "GiB": (2.0**30, "byte"), "Bytes": (1.0, "byte"),
    "64Bytes": (64.0, "byte"), "GHz": (1e9, "Hz"), "MHz": (1e6, "Hz"), "MB/s": (1e6, "byte/s"), "GB/s": (1e9, "byte/s"),
    "Joules": (1.0, "J"), "Watts": (1.0, "W"),
}  # fmt: skip
"""Units of perf, factor to the base unit, base unit."""
FORMULA: Final = re.compile(r"^(\S{1,16}) {2,}(\S.*)$")
PLACES: Final = ("cpu", "core", "cluster", "cache", "die", "socket", "node", "thread", "cgroup")
"""Keys that say where a counter counted; they become labels."""


@dataclass(frozen=True, slots=True)
class Row:
    """A counter's value.

    event    as perf names it; "" for a derived metric that stands alone
    value    NaN where it was not counted; `why` says so in perf's words
    unit     a base unit; "" for plain counts
    time     ns since the start, the end of the interval; -1 for the whole run
    labels   which processor, core, socket, thread or group
    running  per cent of the time in which the counter was in the hardware; NaN where not said
    """

    event: str
    value: float
    unit: str = ""
    why: str = ""
    time: int = WHOLE
    labels: tuple[tuple[str, str], ...] = ()
    running: float = math.nan
    derived: bool = False


def counted(event: str, text: str, unit: str, time: int, labels: tuple[tuple[str, str], ...], running: float) -> Row:
    """A counter from perf's texts."""
    value = number(text.replace(",", ".")) if text.count(",") == 1 else number(text)
    factor, base = UNITS.get(unit, (1.0, unit))
    if value is None or value < 0:
        why = text.strip() if text.strip() in MISSING else f"{text.strip()[:40]!r} is no count"
        return Row(event, math.nan, base, why, time, labels, running)
    return Row(event, value * factor, base, "", time, labels, running)


def derived(text: str, named: str, event: str, time: int, labels: tuple[tuple[str, str], ...]) -> Row | None:
    """A metric that perf worked out of counters, such as "insn per cycle"; None where it says nothing."""
    value, named = number(text), named.strip()
    if value is None or named in ("", "(null)"):
        return None
    found = FORMULA.match(named)
    unit, name = (found[1], found[2]) if found else ("", named)
    if unit == "" and name in UNITS:
        unit = name
    factor, base = UNITS.get(unit, (1.0, unit))
    of = (("of", event),) if event else ()
    return Row(name, value * factor, base, "", time, labels + of, derived=True)
