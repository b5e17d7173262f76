"""A trilinear surface over three logarithms, read at a point or at arrays of points; held at its edges."""

from __future__ import annotations

import math
import zlib
from base64 import b64decode
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Final

from flopsight.expr import Number

STEP: Final = 1 / 50
"""Of a packed byte, in log2 of time."""


@dataclass(frozen=True, slots=True)
class Grid:
    """log2 of a factor at knots of log2 x, log2 y, log2 z; values in row-major order."""

    axes: tuple[tuple[float, ...], ...]
    values: tuple[float, ...]

    def factor(self, x: Number, y: Number, z: Number) -> Number:
        """The factor at a point, or at arrays of points."""
        if isinstance(x, int | float) and isinstance(y, int | float) and isinstance(z, int | float):
            return float(2.0 ** self._at(float(x), float(y), float(z)))
        return self._many(x, y, z)

    def _at(self, x: float, y: float, z: float) -> float:
        (i, f), (j, g), (k, h) = (_cell(axis, v) for axis, v in zip(self.axes, (x, y, z), strict=True))
        depth = len(self.axes[2])
        row = len(self.axes[1]) * depth
        v, a = self.values, i * row + j * depth + k
        b, c, d = a + depth, a + row, a + row + depth
        low = (v[a] * (1 - h) + v[a + 1] * h) * (1 - g) + (v[b] * (1 - h) + v[b + 1] * h) * g
        high = (v[c] * (1 - h) + v[c + 1] * h) * (1 - g) + (v[d] * (1 - h) + v[d + 1] * h) * g
        return low * (1 - f) + high * f

    def _many(self, x: Number, y: Number, z: Number) -> Any:
        import numpy as np

        shape = tuple(len(axis) for axis in self.axes)
        v = np.asarray(self.values).reshape(shape)
        if not isinstance(z, np.ndarray):
            k, h = _cell(self.axes[2], float(z))
            v = v[:, :, k] * (1 - h) + v[:, :, k + 1] * h
            return np.exp2(_plane(v, *(_places(axis, p) for axis, p in zip(self.axes, (x, y), strict=False))))
        (a, b), c = (_places(axis, p) for axis, p in zip(self.axes, (x, y), strict=False)), _places(self.axes[2], z)
        k = np.minimum(c.astype(int), shape[2] - 2)
        low, high = (_plane(v.transpose(2, 0, 1), a, b, k + side) for side in (0, 1))
        return np.exp2(low + (high - low) * (c - k))


def _places(axis: tuple[float, ...], values: Number) -> Any:
    """Where along an axis values lie, in knots and fractions of them."""
    import numpy as np

    return np.interp(np.log2(np.maximum(values, 1e-300)), axis, np.arange(len(axis)))


def _plane(v: Any, a: Any, b: Any, layer: Any = None) -> Any:
    """Bilinear values at places of two axes; `layer` picks a plane for each point."""
    import numpy as np

    rows, columns = v.shape[-2:]
    i, j = np.minimum(a.astype(int), rows - 2), np.minimum(b.astype(int), columns - 2)
    at = i * columns + j if layer is None else (layer * rows + i) * columns + j
    flat, f, g = v.ravel(), a - i, b - j
    low = flat.take(at)
    low = low + (flat.take(at + 1) - low) * g
    high = flat.take(at + columns)
    high = high + (flat.take(at + columns + 1) - high) * g
    return low + (high - low) * f


def _cell(axis: tuple[float, ...], value: float) -> tuple[int, float]:
    """The cell of an axis that holds a value's logarithm, and how far into it the value lies, 0 to 1."""
    at = math.log2(value) if value > 0 else axis[0]
    if at <= axis[0]:
        return 0, 0.0
    if at >= axis[-1]:
        return len(axis) - 2, 1.0
    i = bisect_right(axis, at) - 1
    return i, (at - axis[i]) / (axis[i + 1] - axis[i])


def grid(axes: list[list[float]], packed: str) -> Grid:
    """A grid from its axes in plain numbers and its packed signed bytes, one a knot in steps of `STEP`."""
    logs = tuple(tuple(math.log2(v) for v in axis) for axis in axes)
    raw = zlib.decompress(b64decode(packed))
    return Grid(logs, tuple((b - 256 if b > 127 else b) * STEP for b in raw))
