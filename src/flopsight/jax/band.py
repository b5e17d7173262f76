"""Bands of an array: the elements whose row and column numbers differ by no more than so much, as in a causal mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class Band:
    """The elements with low <= i - j <= high, where i counts along dimension `row` and j along `column`.

    None is no limit: Band(0, 1, 0, None) is a causal mask, Band(0, 1, 0, w - 1) a causal window of w keys.
    """

    row: int
    column: int
    low: int | None
    high: int | None

    def area(self, rows: int, columns: int) -> int:
        """How many of rows x columns elements lie in the band."""
        return _at_most(self.high, rows, columns) - (0 if self.low is None else _at_most(self.low - 1, rows, columns))

    def moved(self, to: Mapping[int, int]) -> Band | None:
        """The same band after dimension d has become dimension to[d]; None where one of them is gone."""
        if self.row not in to or self.column not in to:
            return None
        return replace(self, row=to[self.row], column=to[self.column])._ordered()

    def shifted(self, by: int) -> Band:
        """The band of i - j + by."""
        return replace(
            self, low=None if self.low is None else self.low - by, high=None if self.high is None else self.high - by
        )

    def complement(self) -> Band | None:
        """The elements outside, where they are a band too: of one limit only."""
        if self.low is None and self.high is not None:
            return replace(self, low=self.high + 1, high=None)
        if self.high is None and self.low is not None:
            return replace(self, low=None, high=self.low - 1)
        return None

    def meet(self, other: Band) -> Band | None:
        """The elements in both, None if the two lie along other dimensions."""
        if (self.row, self.column) != (other.row, other.column):
            return None
        return replace(self, low=_tighter(max, self.low, other.low), high=_tighter(min, self.high, other.high))

    def hull(self, other: Band) -> Band | None:
        """The smallest band that holds both, None if the two lie along other dimensions."""
        if (self.row, self.column) != (other.row, other.column):
            return None
        return replace(self, low=_looser(min, self.low, other.low), high=_looser(max, self.high, other.high))

    def _ordered(self) -> Band:
        # one way to write a band: the row is the lower dimension
        if self.row < self.column:
            return self
        low = None if self.high is None else -self.high
        high = None if self.low is None else -self.low
        return Band(self.column, self.row, low, high)


def band_of(mask: np.ndarray) -> Band | None:
    """The band that is exactly the True elements of an array that varies along two dimensions only, else None."""
    long = [d for d, size in enumerate(mask.shape) if size > 1]
    if len(long) != 2:
        return None
    flat = mask.reshape([mask.shape[d] for d in long])
    rows, columns = flat.shape
    (i,) = np.nonzero(flat.any(axis=1))
    if not len(i):
        return None
    first, last = flat.argmax(axis=1)[i], columns - 1 - flat[:, ::-1].argmax(axis=1)[i]
    low, high = int((i - last).min()), int((i - first).max())
    band = Band(long[0], long[1], None if low == 1 - columns else low, None if high == rows - 1 else high)
    return band if band.area(rows, columns) == np.count_nonzero(flat) else None


def _at_most(limit: int | None, rows: int, columns: int) -> int:
    """Elements with i - j <= limit: row i holds the columns from i - limit on."""
    if limit is None or limit >= rows:
        return rows * columns
    # columns left of i - limit are outside: 0 for the first rows, then 1, 2, ... but never more than there are
    first = max(0, limit + 1)  # the first row that lacks a column
    lacking = rows - first
    if lacking <= 0:
        return rows * columns
    start = first - limit  # what it lacks
    growing = max(0, min(lacking, columns - start + 1))
    lost = growing * start + growing * (growing - 1) // 2 + (lacking - growing) * columns
    return rows * columns - lost


def _tighter(pick, a: int | None, b: int | None) -> int | None:  # type: ignore[no-untyped-def] # noqa: ANN001
    return b if a is None else a if b is None else pick(a, b)


def _looser(pick, a: int | None, b: int | None) -> int | None:  # type: ignore[no-untyped-def] # noqa: ANN001
    return None if a is None or b is None else pick(a, b)
