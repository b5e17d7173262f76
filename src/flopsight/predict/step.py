"""One pass of a model on one device: seconds by cause, task by task, and a compiled form for many passes.

The time of a task goes to what binds it: compute, or the bytes it waits for, in proportion to their kinds. Starting a
kernel is `launch`. So the causes of a pass add up to its time exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

from flopsight.predict.device import Device
from flopsight.predict.kernels.roofline import start_of
from flopsight.predict.tasks import Amounts, Collective, Moved, Task
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class Split:
    """Seconds by cause.

    compute      matrix products waiting for the engine
    weights, cache, other   waiting for bytes: parameters, keys, values and states, activations
    collective   exchanged with other devices and not hidden
    launch       starting kernels
    bubble       waiting for other pipeline stages
    host         scheduler, sampler, Python: the device has nothing to do
    """

    compute: float = 0.0
    weights: float = 0.0
    cache: float = 0.0
    other: float = 0.0
    collective: float = 0.0
    launch: float = 0.0
    bubble: float = 0.0
    host: float = 0.0

    @property
    def total(self) -> float:
        """All causes together."""
        return float(sum([getattr(self, name) for name in CAUSES]))

    def __add__(self, other: Split) -> Split:
        return Split(*[getattr(self, name) + getattr(other, name) for name in CAUSES])

    def __mul__(self, times: float) -> Split:
        return Split(*[getattr(self, name) * times for name in CAUSES])

    @property
    def binds(self) -> str:
        """The largest cause."""
        return max(CAUSES, key=lambda name: float(getattr(self, name)))


CAUSES: Final = tuple(f.name for f in fields(Split))


@dataclass(frozen=True, slots=True)
class Line:
    """One task of a pass, all its executions together; amounts are those of one device."""

    task: Task
    seconds: float
    split: Split
    amounts: Amounts

    @property
    def binds(self) -> str:
        """What it waits for."""
        return self.split.binds


def lines(tasks: tuple[Task, ...], device: Device, works: dict[str, Work]) -> list[Line]:
    """Every task of a forward pass with its time and causes; streams without tokens have none."""
    busy = [task for task in tasks if works[task.stream].tokens]
    return [line(task, device, works[task.stream]) for task in busy]


def line(task: Task, device: Device, work: Work, seconds: float | None = None) -> Line:
    """One task; `seconds` of one execution replaces the forward pass's own."""
    one = float(task.kernel.seconds(device, work)) if seconds is None else seconds
    amounts = task.kernel.amounts(work)
    split = causes(task, device, amounts, one) * task.times
    return Line(task, one * task.times, split, _scaled(amounts, task.times))


def _scaled(a: Amounts, times: int) -> Amounts:
    return Amounts(*(getattr(a, f.name) * times for f in fields(Amounts)))


def causes(task: Task, device: Device, a: Amounts, seconds: float) -> Split:
    """The seconds of one execution, by cause."""
    if isinstance(task.kernel, Collective):
        return Split(collective=seconds)
    launch = 0.0 if isinstance(task.kernel, Moved) and task.kernel.fused else min(seconds, start_of(device))
    rest = seconds - launch
    moved = float(a.weights + a.cache + a.other)
    rate = device.rate(task.kernel.compute) if a.flops and task.kernel.compute and device.peaks else 0.0
    if moved == 0 and not rate:
        return Split(launch=launch, other=rest)
    if rate and float(a.flops) / rate >= moved / device.bandwidth:
        return Split(compute=rest, launch=launch)
    each = rest / moved
    return Split(
        weights=float(a.weights) * each, cache=float(a.cache) * each, other=float(a.other) * each, launch=launch
    )


def total(found: list[Line]) -> Split:
    """The causes of a whole pass."""
    split = Split()
    for each in found:
        split = split + each.split
    return split


def work_on(work: Work, cp: int) -> Work:
    """The tokens of one context-parallel device, for tasks that see no other tokens."""
    return work if cp == 1 else replace(work, queries=-(-work.queries // cp))
