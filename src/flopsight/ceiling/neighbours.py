"""Who else used the processor while measuring: other programs, and the hypervisor's other guests (steal time)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flopsight.facts import Unknown

STAT: Final = Path("/proc/stat")
_IDLE: Final = (3, 4)
_STEAL: Final = 7
_COUNTED: Final = 8
"""user nice system idle iowait irq softirq steal; guest time is already in user."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Clock ticks since the start of the machine: in all, taken by the hypervisor, idle, and this program's own."""

    total: float
    steal: float
    idle: float
    own: float


@dataclass(frozen=True, slots=True)
class Shares:
    """Of all processors' time: what other guests took, and what other programs here took."""

    steal: float
    others: float


def ticks(path: Path = STAT, hertz: int | None = None) -> Ticks | None:
    """Ticks now; None where the system has no /proc/stat."""
    try:
        first = path.read_text(encoding="utf-8").splitlines()[0].split()
        numbers = [float(each) for each in first[1 : 1 + _COUNTED]]
        times, per_second = os.times(), hertz or os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    if len(numbers) < _COUNTED:
        return None
    own = (times.user + times.system + times.children_user + times.children_system) * per_second
    return Ticks(sum(numbers), numbers[_STEAL], sum(numbers[i] for i in _IDLE), own)


def shares(before: Ticks | None, after: Ticks | None) -> Shares | Unknown:
    """What happened between two looks."""
    if before is None or after is None:
        return Unknown("this system does not say what other programs used")
    total = after.total - before.total
    if total <= 0:
        return Unknown("too little time passed to say what other programs used")
    steal, idle, own = after.steal - before.steal, after.idle - before.idle, after.own - before.own
    return Shares(max(0.0, steal / total), max(0.0, (total - idle - steal - own) / total))
