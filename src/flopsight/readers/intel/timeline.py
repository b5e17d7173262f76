"""Lines of unitrace's device timeline (-t), one command of a device a line.

    Thread 47571 Device 35747536 : "name[SIMD32 {groups} {group size}]" [ns] N (append) N (submit) N (start) N (end)

Names stand in quotes where Level Zero ran them, bare where OpenCL did. All four times are on the host's clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from flopsight.trace import Device, Host, Kernels, Names
from flopsight.trace.columns import CALL, COPY, KERNEL, RANGE, SET

LINE: Final = re.compile(
    r"Thread (?P<thread>\d{1,18}) Device (?P<device>\S{1,40}) : (?P<name>.+?) \[ns\] (?P<append>\d+) \(append\) "
    r"(?P<submit>\d+) \(submit\) (?P<start>\d+) \(start\) (?P<end>\d+) \(end\)\s*$"
)
SHAPE: Final = re.compile(r"\[(?:SIMD\S*)? ?\{([\d; ]+)\} \{([\d; ]+)\}\]$")
SIZE: Final = re.compile(r"\[(\d{1,18})\]$")
COPIES: Final = re.compile(r"AppendMemoryCopy|AppendImageCopy|clEnqueue(?:Read|Write|Copy|SVMMemcpy|MigrateMem)")
FILLS: Final = re.compile(r"AppendMemoryFill|clEnqueue(?:Fill|SVMMemFill)")
ORDERS: Final = re.compile(r"zeCommandListAppend(?:Barrier|MemoryRangesBarrier|EventReset|SignalEvent|WaitOnEvents"
                           r"|WriteGlobalTimestamp|QueryKernelTimestamps)|clEnqueue(?:Barrier|Marker)")  # fmt: skip
"""Commands that order others and do no work."""
MOST_TIME: Final = 1 << 62
MOST_SIZE: Final = 1 << 31
Three = tuple[int, int, int]
UNKNOWN: Final[Three] = (-1, -1, -1)


@dataclass(frozen=True, slots=True)
class Command:
    """What a device was asked to do."""

    append: int
    submit: int
    start: int
    end: int
    device: int
    thread: int
    name: int
    kind: int
    bytes: int
    grid: Three
    block: Three


@dataclass(slots=True)
class Timeline:
    """Commands met so far."""

    names: Names
    threads: Names = field(default_factory=Names)
    devices: Names = field(default_factory=Names)
    commands: list[Command] = field(default_factory=list)
    impossible: int = 0

    def take(self, line: str) -> bool:
        """Whether the line is a command; one with times that cannot be is counted in `impossible`."""
        found = LINE.match(line)
        if found is None:
            return False
        append, submit, start, end = (int(found[key][:24]) for key in ("append", "submit", "start", "end"))
        if max(append, submit, start, end) >= MOST_TIME:
            self.impossible += 1
            return True
        name, moved, grid, block = named(found["name"])
        device, thread = self.devices[found["device"]], self.threads[found["thread"]]
        self.commands.append(
            Command(append, submit, start, end, device, thread, self.names[name], kind(name), moved, grid, block)
        )
        return True

    def kernels(self) -> Kernels:
        """The commands as activities of devices, each launched by the host's row of the same number."""
        rows = self.commands
        return Kernels.of(
            start=[x.start for x in rows], end=[x.end for x in rows], device=[x.device for x in rows],
            name=[x.name for x in rows], kind=[x.kind for x in rows], host=list(range(len(rows))),
            bytes=[x.bytes for x in rows], grid=[x.grid for x in rows], block=[x.block for x in rows],
        )  # fmt: skip

    def host(self) -> Host:
        """Each command's way into its queue: from append to submit."""
        rows = self.commands
        if not rows:
            return Host.of(start=())
        return Host.of(
            start=[x.append for x in rows], end=[max(x.append, x.submit) for x in rows],
            thread=[x.thread for x in rows], name=[self.names["append"]] * len(rows), kind=[CALL] * len(rows),
        )  # fmt: skip

    def found(self) -> tuple[Device, ...]:
        """Devices, which unitrace names by their handles only."""
        return tuple(Device(at, vendor="intel", properties={"handle": name}) for name, at in self.devices.items())


def named(text: str) -> tuple[str, int, Three, Three]:
    """A command's own name, the bytes that it moves (-1: not said), its groups and the size of one."""
    text = text.removeprefix('"').removesuffix('"')
    shape, size = SHAPE.search(text), SIZE.search(text)
    if shape is not None:
        return text[: shape.start()], -1, three(shape[1]), three(shape[2])
    if size is not None and kind(text) in (COPY, SET):
        return text[: size.start()], int(size[1]), UNKNOWN, UNKNOWN
    return text, -1, UNKNOWN, UNKNOWN


def kind(name: str) -> int:
    """Which of KERNEL_KINDS a command is, by its name."""
    if COPIES.search(name):
        return COPY
    if FILLS.search(name):
        return SET
    return RANGE if ORDERS.match(name) else KERNEL


def three(text: str) -> Three:
    """Three sizes between semicolons."""
    found = [int(part) for part in text.split(";") if part.strip().isdigit() and len(part) < 12]
    inside = len(found) == 3 and max(found) < MOST_SIZE
    return (found[0], found[1], found[2]) if inside else UNKNOWN
