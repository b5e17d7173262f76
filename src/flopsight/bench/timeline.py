"""Time cut into spans, each owned by one part: every nanosecond between the first mark and the last has one owner."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeAlias

from flopsight.stopwatch import TorchDevice

Owner: TypeAlias = tuple[str, str]
"""A module's path and the pass: ("model.norm", "forward")."""
BETWEEN: Final[Owner] = ("", "between")
"""What no part owns: the engine of autograd, the call of the model, Python between them."""
UNTIMED: Final[Owner] = ("", "untimed")
"""The measurement's own work, left out of the step."""


class Clock(Protocol):
    """Takes marks, and later says how many nanoseconds lie between them."""

    def mark(self) -> Any:
        """Now."""
        ...

    def nanoseconds(self, marks: Sequence[Any]) -> list[int]:
        """From the first mark to each."""
        ...


class HostClock:
    """The processor's own clock, for devices that compute when they are called."""

    def mark(self) -> int:
        """Nanoseconds of a clock that never goes back."""
        return time.perf_counter_ns()

    def nanoseconds(self, marks: Sequence[int]) -> list[int]:
        """Differences."""
        return [mark - marks[0] for mark in marks]


class EventClock:
    """Events in the device's own stream: nothing waits while the program runs."""

    def __init__(self, device: TorchDevice) -> None:
        self.device = device

    def mark(self) -> Any:
        """An event behind everything that was launched."""
        event = self.device.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def nanoseconds(self, marks: Sequence[Any]) -> list[int]:
        """Read after the device is done; events tell milliseconds."""
        self.device.synchronize()
        return [0, *(round(marks[0].elapsed_time(mark) * 1e6) for mark in marks[1:])]


class WaitingClock(HostClock):
    """The processor's clock after waiting for a device that has no events here: honest sums, slower steps."""

    def __init__(self, device: TorchDevice) -> None:
        self.device = device

    def mark(self) -> int:
        """Now, everything done."""
        self.device.synchronize()
        return super().mark()


def clock_of(device: TorchDevice) -> Clock:
    """The clock that fits a device."""
    if device.kind == "cpu":
        return HostClock()
    return EventClock(device) if device.cuda else WaitingClock(device)


class Timeline:
    """Marks with who owns the time after each."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.marks: list[Any] = []
        self.owners: list[Owner] = []

    def switch(self, owner: Owner) -> None:
        """From now on time belongs to `owner`."""
        self.marks.append(self.clock.mark())
        self.owners.append(owner)

    def spans(self) -> dict[Owner, int]:
        """Nanoseconds by owner; they add up to the time from the first mark to the last, untimed work left out."""
        at = self.clock.nanoseconds(self.marks)
        found: dict[Owner, int] = {}
        for owner, start, end in zip(self.owners, at, at[1:], strict=False):
            found[owner] = found.get(owner, 0) + end - start
        found.pop(UNTIMED, None)
        return found
