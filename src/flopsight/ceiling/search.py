"""The fastest product of a number format: many shapes briefly, the neighbours of the best, then the best for long.

In the spirit of MAMF (maximum achievable matmul FLOPS): no one shape is fast on every device, so shapes are searched.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from flopsight.ceiling.products import FAILURES, precision, product, why_not
from flopsight.ceiling.values import Product, Shape
from flopsight.stopwatch import Spread, TorchDevice

DIMENSIONS: Final = (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384)
GRAIN: Final = 64
"""Every dimension is a multiple of it: kernels of 8-bit formats need 16, tiles like more."""
_PROBE: Final[dict[str, Shape]] = {"cpu": (256, 256, 256)}
_PROBE_ELSEWHERE: Final[Shape] = (2048, 2048, 2048)
_LONGEST, _AT_LEAST = 0.006, 0.012
"""The longest that one product of the coarse search may take: a share of the budget, and that many seconds anyway."""
_COARSE, _FINE = 0.45, 0.8
"""Shares of the budget that have passed when the coarse and the fine search end."""


@dataclass
class _Search:
    """What was timed so far; the best by its best sample."""

    device: TorchDevice
    dtype: str
    budget: float
    start: float = field(default_factory=time.perf_counter)
    timed: dict[Shape, Spread] = field(default_factory=dict)

    @property
    def passed(self) -> float:
        """Share of the budget that is gone."""
        return (time.perf_counter() - self.start) / self.budget

    def rate(self, shape: Shape) -> float:
        """FLOP/s of the best sample at a shape that was timed."""
        return flops(shape) / self.timed[shape].best

    @property
    def best(self) -> Shape:
        """The shape with the highest rate."""
        return max(self.timed, key=self.rate)

    def try_(self, shape: Shape, share: float) -> None:
        """Time a shape for a share of the budget; one that the device cannot hold is passed over."""
        if shape in self.timed:
            return
        try:
            self.timed[shape] = self.device.seconds(product(self.device, self.dtype, shape), share * self.budget)
        except FAILURES:
            return


def flops(shape: Shape) -> int:
    """2 m n k: a multiply-add is two."""
    m, n, k = shape
    return 2 * m * n * k


def best_product(device: TorchDevice, dtype: str, budget: float) -> Product:
    """The fastest product of a format within about `budget` seconds; a format that does not run gives the reason."""
    if reason := why_not(device, dtype):
        return Product(dtype, why=reason)
    found = _Search(device, dtype, budget)
    probe = _PROBE.get(device.kind, _PROBE_ELSEWHERE)
    with precision(device.torch, dtype):
        try:
            found.timed[probe] = device.seconds(product(device, dtype, probe), 0.02 * budget)
        except FAILURES as error:
            lines = str(error).splitlines() or [type(error).__name__]
            return Product(dtype, why=lines[0][:160])
        _coarse(found)
        _fine(found)
        return _final(found)


def _coarse(found: _Search) -> None:
    """Cubes and random boxes, none so large that it eats the budget; always the same ones on the same device."""
    most = found.rate(found.best) * max(_AT_LEAST, _LONGEST * found.budget)
    for shape in _shapes():
        if found.passed > _COARSE:
            return
        if flops(shape) <= most:
            found.try_(shape, 0.005)


def _shapes() -> Iterator[Shape]:
    yield from ((each, each, each) for each in DIMENSIONS)
    dice = random.Random(1)  # noqa: S311 - shapes, not secrets
    for _ in range(2000):
        yield dice.choice(DIMENSIONS), dice.choice(DIMENSIONS), dice.choice(DIMENSIONS)


def _fine(found: _Search) -> None:
    """Climb: one dimension at a time, half to double, until nothing near is faster or the time is over."""
    most = found.rate(found.best) * 2 * max(_AT_LEAST, _LONGEST * found.budget)
    while found.passed < _FINE:
        before = found.best
        for shape in neighbours(before):
            if found.passed < _FINE and flops(shape) <= most:
                found.try_(shape, 0.01)
        if found.best == before:
            return


def neighbours(shape: Shape) -> Iterator[Shape]:
    """Shapes with one dimension changed by a factor of 1/2 to 2, kept a multiple of 64."""
    for axis in range(3):
        for factor in (2, 0.5, 1.5, 0.75, 1.25):
            size = max(GRAIN, round(shape[axis] * factor / GRAIN) * GRAIN)
            changed = (*shape[:axis], size, *shape[axis + 1 :])
            yield changed[0], changed[1], changed[2]


def again(device: TorchDevice, before: Product, budget: float) -> Product:
    """The same shape timed once more later: what another program took during the search is not the device's ceiling."""
    if before.shape is None or before.time is None:
        return before
    with precision(device.torch, before.dtype):
        time = device.seconds(product(device, before.dtype, before.shape), budget, least=5)
    return replace(before, time=min(time, before.time, key=lambda each: each.best))


def _final(found: _Search) -> Product:
    """Time the best three again for longer: a lucky sample in a short search is not a ceiling."""
    share = max(0.1, 1 - found.passed) / 3
    finalists = sorted(found.timed, key=found.rate, reverse=True)[:3]
    tried = len(found.timed)
    for shape in finalists:
        found.timed[shape] = found.device.seconds(
            product(found.device, found.dtype, shape), share * found.budget, least=5
        )
    best = max(finalists, key=found.rate)
    return Product(found.dtype, best, found.timed[best], tried)
