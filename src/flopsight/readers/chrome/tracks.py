"""What each process and thread of an XLA Chrome trace is, by the name that it was given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from flopsight.readers.xplane import details

DEVICE: Final = re.compile(r"(?:^|\s)/device:(GPU|TPU):(\d{1,9})$")
HOST: Final = re.compile(r"(?:^|\s)/host:")
Role = Literal["stream", "ops", "async", "range", "host", ""]


@dataclass(frozen=True, slots=True)
class Track:
    """A thread of a process.

    device  (pid, "GPU" or "TPU", number) of a device; None for a host
    role    of its events; "" where they are not used, and `why` says so
    stream  number of a stream or of another thread of the device
    """

    process: str
    thread: str
    role: Role
    device: tuple[int | str, str, int] | None = None
    stream: int = -1


def track(pid: int | str, tid: int | str, process: str, thread: str) -> Track:
    """What a thread of this name in a process of that name is."""
    found, line = DEVICE.search(process), details.line_name(thread)
    if found is None:
        return Track(process, thread or str(tid), "host" if HOST.search(process) else "")
    device, stream = (pid, found[1], int(found[2])), tid if isinstance(tid, int) else -1
    role: Role = ""
    if line in details.RANGES:
        role = "range"
    elif found[1] == "TPU":
        role = "ops" if line == details.OPS else "async" if line == details.ASYNC else ""
    elif line not in details.REPEATED:
        role = "stream"
        number = details.stream(thread)
        stream = stream if number is None else number
    return Track(process, line, role, device, stream)
