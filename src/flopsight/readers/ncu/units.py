"""Numbers as Nsight Compute prints them, and their units without prefixes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

TIMES: Final = {
    "s": 1e9, "sec": 1e9, "second": 1e9, "ms": 1e6, "msec": 1e6, "msecond": 1e6, "us": 1e3, "usec": 1e3, "usecond": 1e3,
    "ns": 1.0, "nsec": 1.0, "nsecond": 1.0,
}  # fmt: skip
"""Units of time, old and new spellings, in nanoseconds."""
PREFIXES: Final = {"K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
"""ncu's prefixes are decimal: 1 Kbyte is 1,000 bytes."""
COUNTED: Final = frozenset((
    "byte", "bit", "inst", "sector", "request", "cycle", "warp", "thread", "block", "register", "op", "wavefront",
))  # fmt: skip
NUMBER: Final = re.compile(r"[-+]?[\d.,]*\d(?:[eE][-+]?\d+)?")
GROUPED: Final = re.compile(r"[.,](?=\d{3}(?:\D|$))")
LAST: Final = re.compile(r"[.,](\d+)$")
NOTHING: Final = frozenset(
    ("", "n/a", "(!) n/a", "nan", "(!) nan", "-nan", "inf", "-inf", "no data", "<not supported>")
)
"""What stands where a counter has no value."""


@lru_cache(1024)
def base(unit: str) -> tuple[float, str]:
    """What a value in this unit is multiplied by, and the unit that it then has: ns, byte, Hz, %, byte/s, inst ...

    A unit that nobody knows is left as it is. Rates are by second: "byte/ns" -> (1e9, "byte/s"), "cycle/nsecond" -> Hz.
    """
    unit = unit.strip()
    if "/" in unit[:64]:
        return _rate(*unit.split("/", 1))
    if unit in TIMES:
        return TIMES[unit], "ns"
    if unit.lower().endswith("hz"):
        return PREFIXES.get(unit[:-2].upper(), 1.0), "Hz"
    if unit[:1] in PREFIXES and unit[1:] in COUNTED:
        return PREFIXES[unit[0]], unit[1:]
    return 1.0, unit


def _rate(above: str, below: str) -> tuple[float, str]:
    up, what = base(above)
    down, each = base(below)
    if each != "ns":
        return up / down, f"{what}/{each}"
    return up / down * 1e9, "Hz" if what == "cycle" else f"{what}/s"


def decimal_mark(cells: Iterable[str]) -> str:
    """ "." or ",": which of them begins the decimals in a file, as ncu follows the locale of the machine.

    A mark that is not followed by exactly three digits at the end of a number begins decimals; one that stands twice
    groups thousands. "." where nothing tells.
    """
    votes = {".": 0, ",": 0}
    for cell in cells:
        found = LAST.search(cell.strip())
        if found is None or not NUMBER.fullmatch(cell.strip()):
            continue
        mark = cell.strip()[found.start()]
        other = "," if mark == "." else "."
        if cell.count(mark) > 1:
            votes[other] += 1
        elif len(found[1]) != 3 or other in cell:
            votes[mark] += 1
    return "," if votes[","] > votes["."] else "."


def number(cell: str, mark: str = ".") -> float | None:
    """A cell's value: NaN where ncu says that there is none, None where it is a text.

    What follows a number in brackets (the instances of a metric) is not read here.
    """
    cell = cell.strip()
    if cell.lower() in NOTHING:
        return math.nan
    found = NUMBER.match(cell)
    if found is None or (found.end() < len(cell) and cell[found.end() :].lstrip()[:1] not in ("(", "{", ";")):
        return None
    return plain(found[0], mark)


def plain(text: str, mark: str = ".") -> float | None:
    """A number with its thousands taken together; None where it is none."""
    thousands = "," if mark == "." else "."
    try:
        value = float(text.replace(thousands, "").replace(mark, "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else math.nan


ENDINGS: Final = (
    (re.compile(r"per_second$"), "/s"), (re.compile(r"pct|_rate\.pct"), "%"), (re.compile(r"\.ratio$"), ""),
    (re.compile(r"per_cycle_(?:elapsed|active)$"), "/cycle"),
)  # fmt: skip
KINDS: Final = (
    (re.compile(r"time_(?:duration|active)|_time_"), "ns"), (re.compile(r"bytes|shared_mem"), "byte"),
    (re.compile(r"cycles"), "cycle"), (re.compile(r"sectors"), "sector"), (re.compile(r"requests"), "request"),
    (re.compile(r"warps"), "warp"), (re.compile(r"(?:^|_)inst(?:_|$)|inst_executed"), "inst"),
)  # fmt: skip


@lru_cache(8192)
def unit_of(metric: str) -> str:
    """The base unit that a metric's own name tells; "" where it tells none. Reports do not hold units."""
    if metric.startswith(("launch__", "derived__", "memory_", "profiler__")):
        return "byte/block" if metric.startswith("launch__shared_mem_per_block") else ""
    ending = next((unit for pattern, unit in ENDINGS if pattern.search(metric)), None)
    if ending in ("%", ""):
        return ending or ""
    kind = next((unit for pattern, unit in KINDS if pattern.search(metric.split(".")[0])), "")
    if ending == "/s" and kind == "cycle":
        return "Hz"
    return (kind or "1") + ending if ending else kind
