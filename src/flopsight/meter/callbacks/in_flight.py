"""Steps that were handed to a device and are not known to be done: asked, never waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from flopsight.meter.work import Work

MOST: Final = 64
"""Steps that can be underway at most: JAX lets the host run 32 computations ahead of a device."""


class Result(Protocol):
    """An array that a step gives back."""

    def is_ready(self) -> bool:
        """Whether it is computed."""

    def is_deleted(self) -> bool:
        """Whether its memory was given to a later step."""


@dataclass(slots=True)
class Flight:
    """One step; `seconds` is filled in once it is known to be done."""

    work: Work
    tokens: int | None
    odd: str = ""
    result: Result | None = None
    seconds: float = 0.0


class InFlight:
    """Steps in the order of their calls, which is the order in which a device does them."""

    def __init__(self) -> None:
        self._flying: deque[Flight] = deque()
        self._last = 0.0
        self._begun = False

    def add(self, flight: Flight, begun: float) -> None:
        """A step that was called at this time."""
        if not self._begun:
            self._begun, self._last = True, begun
        self._flying.append(flight)

    def upset(self, odd: str) -> None:
        """What is underway is not timed: something else is about to take time."""
        for flight in self._flying:
            flight.odd = flight.odd or odd

    def landed(self, now: float) -> Sequence[Flight]:
        """The steps found done at this time, which share the time since steps were last found done.

        Where one of them is odd all are, since their times cannot be told apart.
        """
        done = [self._flying.popleft() for _ in range(self._count())]
        odd = next((flight.odd for flight in done if flight.odd), "")
        for flight in done:
            flight.seconds = (now - self._last) / len(done)
            flight.odd = flight.odd or odd
            flight.result = None
        if done:
            self._last = now
        return done

    def _count(self) -> int:
        """All up to the last one that is ready; one whose result was handed on cannot be asked."""
        count = max(0, len(self._flying) - MOST)
        for place, flight in enumerate(self._flying):
            if flight.result is not None and flight.result.is_deleted():
                continue
            if flight.result is not None and not flight.result.is_ready():
                break
            count = max(count, place + 1)
        return count
