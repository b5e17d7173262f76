"""Measure everything: products by number format, bandwidth by working set, launches; clock, drift and neighbours."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Final

from flopsight.ceiling import bandwidth, launch, neighbours
from flopsight.ceiling.caches import Level, levels_of
from flopsight.ceiling.clock_sources import source_of
from flopsight.ceiling.clocks import Clock, Watch
from flopsight.ceiling.memory import available
from flopsight.ceiling.products import FAILURES, FORMATS, precision, product
from flopsight.ceiling.search import again, best_product, flops
from flopsight.ceiling.values import Bandwidth, Direction, Launch, Product, Shape
from flopsight.facts import Unknown
from flopsight.hardware.detect import cpu_here
from flopsight.stopwatch import TorchDevice, torch_module

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """Seconds for a number format, for a point of bandwidth, for launches and for a look at drift."""

    product: float
    point: float
    launch: float
    drift: float
    every: int
    """Of the working sets, every so many; the largest two always."""
    passes: int
    """Times that the working sets are gone through; `point` is for one."""


FULL: Final = Effort(product=10.0, point=0.1, launch=1.0, drift=0.5, every=1, passes=3)
QUICK: Final = Effort(product=1.1, point=0.03, launch=0.15, drift=0.15, every=2, passes=2)
_DRIFT: Final[dict[str, tuple[str, Shape]]] = {"cpu": ("fp32", (1024, 1024, 1024))}
_DRIFT_ELSEWHERE: Final[tuple[str, Shape]] = ("fp16", (4096, 4096, 4096))


@dataclass(frozen=True, slots=True)
class Found:
    """All that was measured of a device.

    drift        FLOP/s of one product at the start, in the middle and at the end
    clock        over the whole run
    neighbours   processor time that others took meanwhile
    """

    device: str
    name: str
    threads: int
    cores: int
    products: tuple[Product, ...]
    points: tuple[Bandwidth, ...]
    levels: tuple[Level, ...]
    launch: Launch
    drift: tuple[float, ...]
    clock: Clock | Unknown
    neighbours: neighbours.Shares | Unknown
    torch: str
    date: str
    quick: bool

    @property
    def plateaus(self) -> dict[tuple[str, Direction], Bandwidth]:
        """The fastest point of each level and direction."""
        return bandwidth.plateaus(self.points)

    @property
    def drifted(self) -> float:
        """(fastest - slowest) / median of the same product over the run."""
        return (max(self.drift) - min(self.drift)) / median(self.drift) if self.drift else 0.0


class _Run:
    """One measurement under way: the device, the effort, and the bar that moves."""

    def __init__(self, device: TorchDevice, effort: Effort, progress: Progress) -> None:
        self.device, self.effort = device, effort
        self.levels = levels_of(device)
        self.last = max((level.total for level in self.levels), default=0)
        every = bandwidth.sizes(device, self.levels, available(device))
        self.sizes = sorted({*every[:: effort.every], *every[-2:]})
        self.done, self.total, self.progress = 0, len(FORMATS) + effort.passes * len(self.sizes) + 5, progress

    def step(self) -> None:
        """One more thing is measured."""
        self.done += 1
        self.progress(self.done, self.total)

    def drift(self) -> list[float]:
        """FLOP/s of the product that is repeated over the run; nothing where the device cannot do it."""
        dtype, shape = _DRIFT.get(self.device.kind, _DRIFT_ELSEWHERE)
        try:
            with precision(self.device.torch, dtype):
                time = self.device.seconds(product(self.device, dtype, shape), self.effort.drift)
        except FAILURES:
            return []
        finally:
            self.step()
        return [flops(shape) / time.best]

    def products(self) -> tuple[Product, ...]:
        """The fastest product of each format."""
        found = []
        for dtype in FORMATS:
            found.append(best_product(self.device, dtype, self.effort.product))
            self.step()
        return tuple(found)

    def again(self, before: tuple[Product, ...]) -> tuple[Product, ...]:
        """The best shapes once more, at another time."""
        found = tuple(again(self.device, each, self.effort.product / 8) for each in before)
        self.step()
        return found

    def points(self) -> tuple[Bandwidth, ...]:
        """Each direction at each working set, the better of several passes: neighbours come and go."""
        found: dict[tuple[int, Direction], Bandwidth] = {}
        for _ in range(self.effort.passes):
            for size in self.sizes:
                for direction in bandwidth.DIRECTIONS:
                    self.point(found, size, direction)
                self.step()
        return tuple(found[key] for key in sorted(found, key=lambda key: key[0]))

    def point(self, found: dict[tuple[int, Direction], Bandwidth], size: int, direction: Direction) -> None:
        """Keep a point if it is faster than before; a working set that the device cannot hold is left out."""
        seconds = self.effort.point * (3 if size > self.last else 1)
        try:
            point = bandwidth.measure(self.device, direction, size, self.levels, seconds)
        except FAILURES:
            return
        if (size, direction) not in found or point.best > found[size, direction].best:
            found[size, direction] = point

    def launch(self) -> Launch:
        """What a small op costs."""
        found = launch.measure(self.device, self.effort.launch)
        self.step()
        return found


def measure(
    device: str = "cpu",
    *,
    quick: bool = False,
    progress: Progress = lambda done, total: None,
    effort: Effort | None = None,
) -> Found:
    """Measure one torch device; MissingCapability without torch, UsageError for a device it cannot use."""
    opened = TorchDevice(device)
    run = _Run(opened, effort or (QUICK if quick else FULL), progress)
    before = neighbours.ticks()
    with Watch(source_of(opened)) as watch:
        start, products = run.drift(), run.products()
        middle, points = run.drift(), run.points()
        launched, products = run.launch(), run.again(products)
        end = run.drift()
    return Found(
        device=device, name=opened.name, threads=threads_of(opened), cores=cores_here(), products=products,
        points=points, levels=run.levels, launch=launched, drift=(*start, *middle, *end), clock=watch.clock(),
        neighbours=neighbours.shares(before, neighbours.ticks()), torch=str(opened.torch.__version__),
        date=datetime.now(UTC).strftime("%Y-%m-%d"), quick=quick,
    )  # fmt: skip


def device_of(asked: str) -> str:
    """The device that was asked for; "" is the accelerator that torch sees, else the processor."""
    if asked:
        return asked
    torch = torch_module()
    return f"{torch.accelerator.current_accelerator().type}:0" if torch.accelerator.is_available() else "cpu"


def cores_here() -> int:
    """Cores of this machine, of which torch uses one thread each; its processors where the system names no cores."""
    return int(cpu_here().read.get("cores") or os.cpu_count() or 1)


def threads_of(device: TorchDevice) -> int:
    """Threads that ops on the processor use; 0 on an accelerator."""
    return int(device.torch.get_num_threads()) if device.kind == "cpu" else 0
