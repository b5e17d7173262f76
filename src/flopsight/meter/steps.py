"""The steps of a loop: which are ordinary, which are not and why, and what they amount to."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import median
from typing import Final, Literal

from flopsight.meter.clock import Span
from flopsight.meter.work import Work

Odd = Literal["", "warm-up", "counted", "compiled"]
SLOW: Final = 3.0
"""Times the median from which a step is told apart (a checkpoint, an evaluation inside, a hiccup)."""
WARM: Final = 2
FEW: Final = 5
KEPT: Final = 4096
"""Steps that are remembered one by one; sums go on for ever."""


@dataclass(slots=True)
class Step:
    """One step that has ended; `seconds` is filled in when the device has come there.

    outside   host seconds between the end of the step before and this one's beginning
    tokens    that it worked on, None where nobody can tell
    works     of its calls; None where one of them is not known
    """

    number: int
    span: Span
    outside: float
    tokens: int | None
    works: Sequence[Work] | None
    odd: Odd = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """What some steps amount to; `known` steps have works, and only these are in the FLOPs and in `worked`.

    seconds   inside steps; `worked` of those whose work is known
    outside   between steps
    floor     attainable seconds (the roofline of every op), None where some have none
    """

    steps: int = 0
    seconds: float = 0.0
    outside: float = 0.0
    tokens: int | None = None
    known: int = 0
    worked: float = 0.0
    required: int = 0
    full_square: int = 0
    executed: int = 0
    products: int = 0
    floor: float | None = None

    @property
    def rate(self) -> float | None:
        """Tokens a second inside of steps."""
        return self.tokens / self.seconds if self.tokens and self.seconds else None


def sums(steps: Sequence[Step]) -> Sums:
    """Add finished steps up."""
    done = [s for s in steps if s.seconds is not None]
    known = [s for s in done if s.works is not None]
    works = [w for s in known for w in s.works or ()]
    floors = [w.floor for w in works]
    tokens = [s.tokens for s in done]
    return Sums(
        len(done), sum(s.seconds or 0 for s in done), sum(s.outside for s in done),
        None if any(t is None for t in tokens) else sum(t or 0 for t in tokens),
        len(known), sum(s.seconds or 0 for s in known),
        sum(w.flops.required for w in works), sum(w.flops.full_square for w in works),
        sum(w.flops.executed for w in works), sum(w.products for w in works),
        None if not floors or any(f is None for f in floors) else sum(f or 0 for f in floors),
    )  # fmt: skip


@dataclass(slots=True)
class History:
    """The steps so far: those still on the device, those finished."""

    waiting: deque[Step] = field(default_factory=deque)
    done: deque[Step] = field(default_factory=lambda: deque(maxlen=KEPT))
    total: int = 0

    def add(self, step: Step) -> None:
        """Take a step that has ended on the host."""
        self.waiting.append(step)
        self.total += 1
        self.poll()

    def poll(self) -> None:
        """Finish the steps that the device has come past."""
        while self.waiting:
            seconds = self.waiting[0].span.seconds()
            if seconds is None:
                return
            step = self.waiting.popleft()
            step.seconds = seconds
            self.done.append(step)

    def ordinary(self, last: int | None = None) -> list[Step]:
        """Finished steps that are like each other, or the last so many of them."""
        alike = [s for s in self.done if not s.odd]
        limit = self._limit(alike)
        found = [s for s in alike if (s.seconds or 0.0) <= limit]
        return found if last is None else found[-last:]

    def slow(self) -> list[Step]:
        """Finished steps that took far longer than the others, for no cause that is known."""
        alike = [s for s in self.done if not s.odd]
        limit = self._limit(alike)
        return [s for s in alike if (s.seconds or 0.0) > limit]

    @staticmethod
    def _limit(alike: Sequence[Step]) -> float:
        return SLOW * median(s.seconds or 0.0 for s in alike) if len(alike) >= FEW else inf
