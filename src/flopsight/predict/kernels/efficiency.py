"""How far a matrix kernel stays behind light speed: a few physical constants and a coarse surface over its shape.

    seconds = start + (compute^p + memory^p)^(1/p)
    compute = flops / rate / c · (1 + (w0/w)^a) · (1 + k0/k)        memory = bytes / bandwidth / b

c, b are the shares of rate and bandwidth that large shapes reach; w the waves of 128 x 128 output tiles over the
device's units, so w0 says how many waves fill it; k0 the depth at which a tile's prologue costs as much as its
products. What these leave over, in log space, is a trilinear surface over log2 m, log2 n, log2 k, held at its edges.
"""

from __future__ import annotations

import math
import zlib
from base64 import b64decode
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flopsight.expr import Number

Vector: TypeAlias = NDArray[np.float64]

TILE: Final = 128
STEP: Final = 1 / 50
"""Of the surface's bytes, in log2 of time."""


def _knots() -> Vector:
    """Values of m at which a curve is computed: both sides of every tile edge that shows, then about five an octave."""
    small = [1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 17, 20, 24, 28, 32, 33, 40, 48, 56, 64, 65, 80, 96, 112, 128]
    edges = [v for j in range(1, 16) for v in (TILE * j + 1, TILE * (j + 1))]
    large = [2049, 2304, 2560, 3072, 3584, 4096, 4097, 5120, 6144, 8192, 12288, 16384, 24576, 32768, 65536]
    return np.array(small + edges + large, float)


KNOTS: Final = _knots()
LOG_KNOTS: Final = np.log2(KNOTS)


@dataclass(frozen=True, slots=True)
class Surface:
    """log2 of time over the physical part of the model, at knots of log2 m, log2 n and log2 k."""

    m: Vector
    n: Vector
    k: Vector
    values: Vector
    sheets: dict[float, tuple[Vector, list[list[float]]]] = field(default_factory=dict, repr=False, compare=False)

    def along(self, n: float, k: float) -> Vector:
        """The correction at every knot of a curve in m, for one n and k; held beyond the edges."""
        i, f = place(self.n, math.log2(n))
        j, g = place(self.k, math.log2(k))
        v = self.values
        line = (1 - f) * ((1 - g) * v[:, i, j] + g * v[:, i, j + 1]) + f * (
            (1 - g) * v[:, i + 1, j] + g * v[:, i + 1, j + 1]
        )
        found: Vector = np.interp(LOG_KNOTS, self.m, line)
        return found

    def at(self, m: float | Vector, n: float | Vector, k: float | Vector) -> float | Vector:
        """The correction at points, plain numbers or arrays; held beyond the edges."""
        if isinstance(k, np.ndarray):
            return self._at_many(np.log2(m), np.log2(n), np.log2(k))
        if isinstance(m, np.ndarray) or isinstance(n, np.ndarray):
            return _at_each(self._sheet(k)[0], self.m, self.n, np.log2(m), np.log2(n))
        return _at_one(self._sheet(k)[1], self.m, self.n, math.log2(m), math.log2(n))

    def _sheet(self, k: float) -> tuple[Vector, list[list[float]]]:
        """The surface over m and n at one k, as an array and as plain numbers."""
        if k not in self.sheets:
            j, g = place(self.k, math.log2(k))
            sheet: Vector = (1 - g) * self.values[:, :, j] + g * self.values[:, :, j + 1]
            if len(self.sheets) > SHEETS:
                self.sheets.clear()
            self.sheets[k] = (sheet, sheet.tolist())
        return self.sheets[k]

    def _at_many(self, m: Vector, n: Vector, k: Vector) -> Vector:
        cells = [_places(axis, np.asarray(x, float)) for axis, x in ((self.m, m), (self.n, n), (self.k, k))]
        total: Vector = np.zeros(())
        for corner in np.ndindex(2, 2, 2):
            share: Vector = np.ones(())
            for (_, f), c in zip(cells, corner, strict=True):
                share = share * (f if c else 1 - f)
            total = total + share * self.values[tuple(i + c for (i, _), c in zip(cells, corner, strict=True))]
        return total


SHEETS: Final = 1024
"""Sheets a surface keeps before it forgets them all."""


def _at_one(sheet: list[list[float]], first: Vector, second: Vector, x: float, y: float) -> float:
    (i, f), (j, g) = place(first, x), place(second, y)
    low, high = sheet[i], sheet[i + 1]
    start = low[j] + g * (low[j + 1] - low[j])
    return start + f * (high[j] + g * (high[j + 1] - high[j]) - start)


def _at_each(sheet: Vector, first: Vector, second: Vector, x: Vector, y: Vector) -> Vector:
    (i, f), (j, g) = _places(first, np.asarray(x)), _places(second, np.asarray(y))
    low: Vector = (1 - g) * sheet[i, j] + g * sheet[i, j + 1]
    high: Vector = (1 - g) * sheet[i + 1, j] + g * sheet[i + 1, j + 1]
    return low + f * (high - low)


def _places(axis: Vector, x: Vector) -> tuple[NDArray[np.intp], Vector]:
    x = np.clip(x, axis[0], axis[-1])
    i = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, len(axis) - 2)
    return i, (x - axis[i]) / (axis[i + 1] - axis[i])


def place(axis: Vector, value: float) -> tuple[int, float]:
    """The cell of an axis that holds a value, and how far into it the value lies, 0 to 1."""
    knots = _plain(axis.tobytes())
    i = min(max(bisect_right(knots, value) - 1, 0), len(knots) - 2)
    share = (value - knots[i]) / (knots[i + 1] - knots[i])
    return i, min(max(share, 0.0), 1.0)


@lru_cache(64)
def _plain(axis: bytes) -> list[float]:
    knots: list[float] = np.frombuffer(axis).tolist()
    return knots


def surface(axes: dict[str, list[float]], packed: str) -> Surface:
    """A surface from its axes (m, n, k as numbers) and its packed bytes, a signed one a knot in steps of `STEP`."""
    m, n, k = (np.log2(np.array(axes[name], float)) for name in "mnk")
    values = np.frombuffer(zlib.decompress(b64decode(packed)), np.int8).astype(float) * STEP
    return Surface(m, n, k, values.reshape(len(m), len(n), len(k)))


@dataclass(frozen=True, slots=True)
class Efficiency:
    """The constants of one kind of kernel on one device; letters as in the formula above.

    tile     rows of m are rounded up to this many, beyond half of it (1: the kernels choose tiles that fit)
    ceiling  of the rate: clock peak over data sheet, which nothing passes
    spread   standard deviation of log(measured / predicted), on shapes or chips left out
    """

    start: float
    compute: float
    memory: float
    wave: float = 0.2
    ramp: float = 150.0
    fill: float = 0.8
    sharpness: float = 3.0
    tile: int = 1
    ceiling: float = 1.0
    spread: float = 0.3

    def on(self, ratio: float) -> Efficiency:
        """The same kernels where a unit multiplies `ratio` times as fast: what a tile costs beside products stays."""
        lost = max(1 / self.compute - 1, 0.0)
        compute = 1 / (1 + lost * ratio) if lost else self.compute
        return replace(self, compute=compute, ramp=self.ramp * ratio)

    def seconds(self, flops: Any, moved: Any, waves: Any, k: Any) -> Any:
        """From light-speed seconds of compute and of memory, waves of tiles and the depth."""
        slow = (1 + (self.wave / waves) ** self.fill) * (1 + self.ramp / k) / self.compute
        p = self.sharpness
        return self.start + ((flops * slow) ** p + (moved / self.memory) ** p) ** (1 / p)

    def padded(self, m: Vector) -> Vector:
        """Rows as the tiles see them."""
        if self.tile == 1:
            return m
        rounded: Vector = np.where(m > self.tile / 2, np.ceil(m / self.tile) * self.tile, m)
        return rounded


@dataclass(frozen=True, slots=True)
class Machine:
    """What of a device a matrix kernel sees: FLOP/s, B/s, units."""

    rate: float
    bandwidth: float
    units: int


def product_seconds(
    e: Efficiency, machine: Machine, m: Vector, n: float | Vector, k: float | Vector, each: float, weight_bits: float
) -> Vector:
    """The physical part for [m, k] x [k, n]: `each` bytes an activation read, two a result."""
    flops = 2 * e.padded(m) * n * k / machine.rate
    moved = (m * k * each + n * k * weight_bits / 8 + 2 * m * n) / machine.bandwidth
    waves = m * n / (TILE * TILE * machine.units)
    found: Vector = e.seconds(flops, moved, waves, k)
    return found


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds over m for one n and k: never falling, straight in log-log space between knots, as m beyond the last."""

    seconds: Vector
    logs: Vector
    plain: list[float]

    @classmethod
    def of(cls, seconds: Vector) -> Curve:
        """The rising curve nearest to times at `KNOTS` in log space.

        A product can be padded to a larger one that is faster, but padding is not always done: a fall is pooled.
        """
        logs = rising(np.log2(seconds).tolist())
        found = np.array(logs)
        return cls(np.exp2(found), found, logs)

    def __call__(self, m: Number) -> Number:
        """Seconds at m, a number or an array."""
        if isinstance(m, np.ndarray):
            found = np.exp2(np.interp(np.log2(np.maximum(m, 1.0)), LOG_KNOTS, self.logs))
            return found * np.maximum(m / LARGEST, 1.0)
        return self._one(float(m))

    def _one(self, m: float) -> float:
        if m <= 1:
            return float(self.seconds[0])
        if m >= LARGEST:
            return float(self.seconds[-1]) * m / LARGEST
        x = math.log2(m)
        i = bisect_right(PLAIN_KNOTS, x) - 1
        low, high = PLAIN_KNOTS[i], PLAIN_KNOTS[i + 1]
        a, b = self.plain[i], self.plain[i + 1]
        return float(2.0 ** (a + (b - a) * (x - low) / (high - low)))


def rising(values: list[float]) -> list[float]:
    """The sequence that never falls and lies nearest in the sum of squares: falling neighbours become their mean."""
    pools: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            before, many = pools.pop()
            mean, count = (mean * count + before * many) / (count + many), count + many
        pools.append((mean, count))
    return [mean for mean, count in pools for _ in range(count)]


PLAIN_KNOTS: Final[list[float]] = LOG_KNOTS.tolist()
LARGEST: Final = float(KNOTS[-1])


def product_curve(
    e: Efficiency, over: Surface | None, machine: Machine, n: int, k: int, each: float, weight_bits: float
) -> Curve:
    """Seconds over m with the surface; never under FLOPs over the ceiling nor the weights over the bandwidth."""
    seconds = product_seconds(e, machine, KNOTS, n, k, each, weight_bits)
    if over is not None:
        seconds = seconds * np.exp2(over.along(n, k))
    floor = np.maximum(2 * KNOTS * n * k / (machine.rate * e.ceiling), n * k * weight_bits / 8 / machine.bandwidth)
    return Curve.of(np.maximum(seconds, floor))


def efficiency(found: dict[str, Any]) -> Efficiency:
    """Constants from a data file; names it does not know are for people."""
    return Efficiency(**{name: found[name] for name in Efficiency.__dataclass_fields__ if name in found})
