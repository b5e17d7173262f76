"""The cache levels of a device, and in which of them a working set lies."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopsight.stopwatch import TorchDevice

CACHES: Final = Path("/sys/devices/system/cpu/cpu0/cache")
MEMORY: Final = "memory"
_UNITS: Final = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True, slots=True)
class Level:
    """One cache level: bytes of one instance, and how many instances there are."""

    name: str
    bytes: int
    instances: int

    @property
    def total(self) -> int:
        """Bytes of all instances together."""
        return self.bytes * self.instances


def levels_of(device: TorchDevice) -> tuple[Level, ...]:
    """Data caches from the smallest to the largest; empty where the system does not say."""
    if device.kind == "cpu":
        return cpu_levels()
    if not device.cuda:
        return ()
    size = int(_properties(device).L2_cache_size)
    return (Level("L2", size, 1),) if size else ()


def _properties(device: TorchDevice) -> Any:
    return device.torch.cuda.get_device_properties(device.device)


def cpu_levels(folder: Path = CACHES, processors: int | None = None) -> tuple[Level, ...]:
    """What the kernel says of the first processor's data caches."""
    count = processors or os.cpu_count() or 1
    found = [level for index in sorted(folder.glob("index*")) if (level := _level(index, count))]
    return tuple(sorted(found, key=lambda level: level.bytes))


def _level(index: Path, processors: int) -> Level | None:
    try:
        kind, number, size, shared = (
            (index / each).read_text().strip() for each in ("type", "level", "size", "shared_cpu_list")
        )
        if kind == "Instruction":
            return None
        sharers = max(1, members(shared))
        nbytes = int(size[:-1]) * _UNITS[size[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return Level(f"L{number}", nbytes, max(1, processors // sharers))


def members(ranges: str) -> int:
    """How many processors a kernel's list names.

    >>> members("0-3,8,10-11")
    7
    """
    pairs = [part.split("-") for part in ranges.split(",") if part]
    return sum(int(pair[-1]) - int(pair[0]) + 1 for pair in pairs)


def level_of(size: int, threads: int, levels: Sequence[Level]) -> str:
    """The smallest level that holds a working set divided among so many threads, spread over the level's instances."""
    for level in levels:
        sharing = math.ceil(threads / level.instances)
        if size / threads * sharing <= level.bytes:
            return level.name
    return MEMORY
