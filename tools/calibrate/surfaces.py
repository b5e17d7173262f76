"""Least squares that both matrix rooms share: the physical constants of a chip, and the surface of a family."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.optimize import least_squares
from scipy.sparse.linalg import spsolve

from flopsight.predict.kernels.efficiency import STEP, Efficiency, Surface, Vector

FREE = ("start", "compute", "memory", "wave", "ramp", "fill", "sharpness")
FIRST = (3e-6, 0.75, 0.8, 0.2, 150.0, 0.8, 3.0)
LOW = (1e-6, 0.15, 0.25, 1e-3, 1.0, 0.2, 1.5)
HIGH = (4e-5, 1.05, 1.05, 10.0, 1500.0, 1.6, 8.0)
AT_MOST = 5000
"""Rows drawn for the constants: they are seven."""
SMOOTH = (0.02, 0.5, 0.5)
"""Weight of the surface's second differences along m (nearly free: tile edges), n and k."""
RIDGE = 1e-3
TIGHT = 0.03
"""Scale in log2 below which residuals weigh fully; above it the loss is linear."""

Predict = Callable[[Efficiency], Vector]


@dataclass(frozen=True)
class Axes:
    """Knots of a surface, as plain numbers."""

    m: tuple[float, ...]
    n: tuple[float, ...]
    k: tuple[float, ...]

    @property
    def logs(self) -> tuple[Vector, Vector, Vector]:
        """The knots as the surface sees them."""
        return tuple(np.log2(np.array(one, float)) for one in (self.m, self.n, self.k))  # type: ignore[return-value]

    @property
    def size(self) -> int:
        """Knots in all."""
        return len(self.m) * len(self.n) * len(self.k)


def constants(
    predict: Callable[[Efficiency, Vector], Vector], t: Vector, first: Efficiency, held: float | None = None
) -> Efficiency:
    """The seven constants under which the physical part comes nearest to t in log space, soft L1.

    predict   seconds of the rows with these indices under these constants
    held      the start, where the rows cannot tell it
    """
    rows = np.random.default_rng(0).permutation(len(t))[:AT_MOST]
    y = np.log(t[rows])
    start = np.clip([getattr(first, name) for name in FREE], LOW, HIGH)

    low, high = np.log(LOW), np.log(HIGH)
    if held is not None:
        low[0], high[0] = np.log(held) - 1e-3, np.log(held) + 1e-3
        start[0] = held

    def off(x: Vector) -> Vector:
        found: Vector = np.log(predict(_with(first, np.exp(x)), rows)) - y
        return found

    found = least_squares(off, np.log(start), bounds=(low, high), loss="soft_l1", f_scale=0.1)
    return _with(first, np.exp(found.x))


def _with(e: Efficiency, values: Vector) -> Efficiency:
    return replace(e, **dict(zip(FREE, (float(v) for v in values), strict=True)))


def middle(several: list[Efficiency]) -> Efficiency:
    """The median of every constant."""
    values = np.median([[getattr(e, name) for name in FREE] for e in several], axis=0)
    return _with(several[0], values)


def design(axes: Axes, m: Vector, n: Vector, k: Vector) -> sp.csr_matrix:
    """Trilinear weights of every row on every knot."""
    cells = [_cells(knots, np.log2(v)) for knots, v in zip(axes.logs, (m, n, k), strict=True)]
    columns, weights = [], []
    for corner in np.ndindex(2, 2, 2):
        at = [i + c for (i, _), c in zip(cells, corner, strict=True)]
        shares = [f if c else 1 - f for (_, f), c in zip(cells, corner, strict=True)]
        columns.append((at[0] * len(axes.n) + at[1]) * len(axes.k) + at[2])
        weights.append(shares[0] * shares[1] * shares[2])
    rows = np.tile(np.arange(len(m)), 8)
    return sp.csr_matrix((np.concatenate(weights), (rows, np.concatenate(columns))), shape=(len(m), axes.size))


def _cells(knots: Vector, x: Vector) -> tuple[np.ndarray, Vector]:
    x = np.clip(x, knots[0], knots[-1])
    i = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    return i, (x - knots[i]) / (knots[i + 1] - knots[i])


def roughness(axes: Axes) -> sp.csr_matrix:
    """Second differences along each axis, weighted."""
    sizes = [len(a) for a in axes.logs]
    parts = []
    for which, (knots, weight) in enumerate(zip(axes.logs, SMOOTH, strict=True)):
        ones: list[sp.spmatrix] = [sp.identity(size) for size in sizes]
        ones[which] = _second(knots)
        parts.append(weight * sp.kron(sp.kron(ones[0], ones[1]), ones[2]))
    return sp.vstack(parts).tocsr()


def _second(knots: Vector) -> sp.csr_matrix:
    h = np.diff(knots)
    rows = np.arange(len(knots) - 2)
    data = np.concatenate([1 / h[:-1], -1 / h[:-1] - 1 / h[1:], 1 / h[1:]])
    return sp.csr_matrix((data, (np.tile(rows, 3), np.concatenate([rows, rows + 1, rows + 2]))))


def fit_surface(axes: Axes, weights: sp.csr_matrix, y: Vector, rounds: int = 4) -> Surface:
    """The surface nearest to y (log2 of measured over physical) by reweighted least squares, in steps of a byte."""
    r = roughness(axes)
    held = (r.T @ r) * 1.0 + RIDGE * sp.identity(axes.size)
    w, x = np.ones(len(y)), np.zeros(axes.size)
    for _ in range(rounds):
        scaled = sp.diags(w) @ weights
        x = spsolve((weights.T @ scaled + held).tocsc(), scaled.T @ y)
        w = TIGHT / np.maximum(np.abs(y - weights @ x), TIGHT)
    bytes_ = np.clip(np.round(x / STEP), -127, 127).astype(np.int8)
    m, n, k = axes.logs
    return Surface(m, n, k, bytes_.astype(float).reshape(len(m), len(n), len(k)) * STEP)


def packed(found: Surface) -> str:
    """The surface's bytes in text."""
    return b64encode(zlib.compress(np.round(found.values / STEP).astype(np.int8).tobytes(), 9)).decode()


def fold_of(*shape: Vector) -> np.ndarray:
    """0 to 4 by a hash of the shape: what belongs together is left out together."""
    mixed = np.zeros(len(shape[0]), np.uint64)
    for one in shape:
        mixed = (mixed * np.uint64(1000003) + one.astype(np.uint64)) * np.uint64(2654435761)
    return ((mixed >> np.uint64(20)) % np.uint64(5)).astype(int)


def error_of(predicted: Vector, t: Vector) -> dict[str, float]:
    """Median, 90th percentile, spread and number of |predicted / measured - 1|."""
    off = np.abs(np.log(predicted / t))
    return {
        "median": _digits(np.median(np.expm1(off))), "p90": _digits(np.quantile(np.expm1(off), 0.9)),
        "bias": _digits(np.median(np.log(predicted / t))), "spread": _digits(np.quantile(off, 0.683)), "n": len(t),
    }  # fmt: skip


def _digits(value: float) -> float:
    return round(float(value), 4)
