"""What the clock did while measuring: read beside the kernels where it can be read, else said to be unreadable."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from types import TracebackType
from typing import Final

from flopsight.ceiling.clock_sources import Reading, Source
from flopsight.facts import Unknown

_EVERY: Final = 0.2
"""Seconds between readings."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock over a run: lowest, median and highest reading in Hz, the part's highest, and what held it back."""

    by: str
    low: float
    median: float
    high: float
    highest: float | None
    watts: float | None
    held: tuple[str, ...]
    readings: int


@dataclass
class Watch:
    """Reads the clock in the background while the body of the `with` runs."""

    source: Source | Unknown
    readings: list[Reading] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        """Start reading."""
        if not isinstance(self.source, Unknown):
            self._thread = threading.Thread(target=self._run, args=(self.source.read,), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=2)

    def _run(self, read: Callable[[], Reading | None]) -> None:
        while not self._stop.wait(_EVERY):
            if found := read():
                self.readings.append(found)

    def clock(self) -> Clock | Unknown:
        """What was read so far."""
        if isinstance(self.source, Unknown):
            return self.source
        if not self.readings:
            return Unknown(f"{self.source.what} gave no clock while measuring")
        hz, watts = [r.hz for r in self.readings], [r.watts for r in self.readings if r.watts is not None]
        held = tuple(dict.fromkeys(word for reading in self.readings for word in reading.held))
        return Clock(
            self.source.what, min(hz), median(hz), max(hz), self.source.highest, max(watts, default=None), held, len(hz)
        )
