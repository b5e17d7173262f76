"""Unions, cuts and lengths of half-open intervals [start, end) in whole nanoseconds, as arrays.

Every share of time in flopsight is a length of such a set: durations that overlap are never added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flopsight.trace.columns import Ints


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Sorted, disjoint, non-empty intervals."""

    start: Ints
    end: Ints

    @property
    def length(self) -> int:
        """Sum of their lengths."""
        return int((self.end - self.start).sum())

    @property
    def span(self) -> int:
        """From the first start to the last end; 0 where there are none."""
        return int(self.end[-1] - self.start[0]) if len(self.start) else 0

    def __len__(self) -> int:
        return len(self.start)

    def __or__(self, other: Intervals) -> Intervals:
        return union(np.concatenate((self.start, other.start)), np.concatenate((self.end, other.end)))

    def __and__(self, other: Intervals) -> Intervals:
        return self._where(other, lambda mine, others: mine & others)

    def __sub__(self, other: Intervals) -> Intervals:
        return self._where(other, lambda mine, others: mine & ~others)

    def gaps(self) -> Intervals:
        """What lies between them."""
        return Intervals(self.end[:-1], self.start[1:])

    def within(self, start: int, end: int) -> Intervals:
        """Their parts inside one interval."""
        return self & Intervals(np.array([start], np.int64), np.array([end], np.int64)) if end > start else NONE

    def _where(self, other: Intervals, chosen: object) -> Intervals:
        points = np.sort(np.concatenate((self.start, self.end, other.start, other.end)), kind="stable")
        if len(points) < 2:
            return NONE
        mine, others = self.covers(points[:-1]), other.covers(points[:-1])
        take = chosen(mine, others)  # type: ignore[operator]
        return union(points[:-1][take], points[1:][take])

    def covers(self, points: Ints) -> Ints:
        """Whether each point lies in one of them."""
        if not len(self.start):
            return np.zeros(len(points), bool)
        at = np.searchsorted(self.start, points, side="right") - 1
        return (at >= 0) & (points < self.end[np.maximum(at, 0)])

    def overlap(self, start: Ints, end: Ints) -> Ints:
        """Length of the common part of this set with each interval of other columns, which may overlap."""
        if not len(self.start):
            return np.zeros(len(start), np.int64)
        before = np.concatenate(([0], np.cumsum(self.end - self.start)))
        return _filled_to(self, before, end) - _filled_to(self, before, start)


def _filled_to(some: Intervals, before: Ints, points: Ints) -> Ints:
    """Length of the set before each point."""
    at = np.searchsorted(some.start, points, side="right") - 1
    row = np.maximum(at, 0)
    inside = np.minimum(points, some.end[row]) - some.start[row]
    return np.where(at >= 0, before[row] + inside, 0)


def union(start: Ints, end: Ints) -> Intervals:
    """The union of any intervals; those that are empty or turned around count for nothing."""
    real = end > start
    start, end = start[real], end[real]
    if not len(start):
        return NONE
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    reach = np.maximum.accumulate(end)
    fresh = np.concatenate(([True], start[1:] > reach[:-1]))
    return Intervals(start[fresh], reach[np.concatenate((fresh[1:], [True]))])


NONE = Intervals(np.empty(0, np.int64), np.empty(0, np.int64))
