"""A step run for real: warmed up, repeated while time lasts, then watched part by part, then counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from flopsight.bench.observe import Observed, Unobserved
from flopsight.bench.steps import Step
from flopsight.bench.subject import Subject
from flopsight.bench.timeline import BETWEEN, Owner, clock_of
from flopsight.counted import Counted
from flopsight.errors import MissingCapability
from flopsight.stopwatch import Spread, TorchDevice

LEAST: Final = 3
MOST: Final = 200
WATCHED: Final = 0.4
"""Share of the repeats that are watched part by part."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a step took.

    step       seconds of the steps that nobody watched
    watched    nanoseconds by module and pass of the fastest watched step; they add up to `total`
    repeats    watched steps
    counted    FLOPs and bytes that the program's ops did, or why they were not counted
    """

    step: Spread
    watched: Mapping[Owner, int]
    repeats: int
    counted: Counted | None
    uncounted_why: str = ""

    @property
    def total(self) -> int:
        """Nanoseconds of the watched step."""
        return sum(self.watched.values())


def measure(
    step: Step, subject: Subject, device: TorchDevice, seconds: float, beat: Callable[[], None] = lambda: None
) -> Measured:
    """Run one step again and again for about `seconds`; plain and watched steps take turns."""
    end = time.perf_counter() + seconds
    for _ in range(2):
        _plain(step, device)
        beat()
    plain: list[float] = []
    watched: list[dict[Owner, int]] = []
    while len(plain) < LEAST or (time.perf_counter() < end and len(plain) < MOST):
        plain.append(_plain(step, device))
        if len(watched) < WATCHED * len(plain):
            watched.append(_watched(step, subject, device))
        beat()
    counted, why = _counted(step, subject)
    fastest = min(watched, key=lambda spans: sum(spans.values()))
    spread = Spread(min(plain), median(plain), max(plain), len(plain))
    return Measured(spread, fastest, len(watched), counted, why)


def _plain(step: Step, device: TorchDevice) -> float:
    step.prepare()
    device.synchronize()
    start = time.perf_counter()
    step.run(Unobserved())
    device.synchronize()
    return time.perf_counter() - start


def _watched(step: Step, subject: Subject, device: TorchDevice) -> dict[Owner, int]:
    step.prepare()
    device.synchronize()
    with Observed(subject.module, clock_of(device), device.torch) as seen:
        step.run(seen)
    spans = seen.timeline.spans()
    spans.setdefault(BETWEEN, 0)
    return spans


def _counted(step: Step, subject: Subject) -> tuple[Counted | None, str]:
    """One more step under the counter."""
    from flopsight.torch import counting

    step.prepare()
    try:
        with counting(subject.module) as found:
            step.run(Unobserved())
    except (RuntimeError, TypeError, NotImplementedError, MissingCapability) as error:
        return None, f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}"
    return found.counted, ""
