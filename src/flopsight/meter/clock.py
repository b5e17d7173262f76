"""Seconds of a step on the device, without ever waiting for it.

On an accelerator two events are put into its queue and looked at later; on a processor the clock is read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Span(Protocol):
    """A stretch of a device's time that has begun."""

    def end(self) -> None:
        """Mark its end."""

    def seconds(self) -> float | None:
        """How long it was; None while the device has not come there."""


@dataclass(slots=True)
class HostSpan:
    """Read from the processor's clock."""

    begun: int
    ended: int = 0

    def end(self) -> None:
        """Mark the end."""
        self.ended = time.perf_counter_ns()

    def seconds(self) -> float | None:
        """Seconds between."""
        return (self.ended - self.begun) / 1e9


@dataclass(slots=True)
class EventSpan:
    """Two events in the queue of the current stream."""

    first: Any
    last: Any

    def end(self) -> None:
        """Queue the second event."""
        self.last.record()

    def seconds(self) -> float | None:
        """Asked, not waited for."""
        return self.first.elapsed_time(self.last) / 1e3 if self.last.query() else None


def begin(device: torch.device) -> Span:
    """Mark the beginning of a stretch on a device."""
    if device.type == "cpu":
        return HostSpan(time.perf_counter_ns())
    event = torch.get_device_module(device).Event
    first, last = event(enable_timing=True), event(enable_timing=True)
    first.record()
    return EventSpan(first, last)
