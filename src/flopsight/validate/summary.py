"""Errors of many rows in three numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """|ours / published - 1| over the rows that have both.

    rows      rows asked
    answered  rows with a value of ours
    compared  rows with a value of ours and a published one
    within    rows inside their tolerance
    p90       nearest rank: the smallest error that at least nine rows of ten do not exceed
    mean      of the errors' sizes (MAPE)
    covered   share of the rows with an interval whose published number lies in it
    """

    rows: int
    answered: int
    compared: int
    within: int
    median: float | None
    p90: float | None
    most: float | None
    mean: float | None = None
    covered: float | None = None


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The value at rank ceil(share·n), counted from one, of values in ascending order."""
    rank = -int(-(share * len(ordered)) // 1)
    return ordered[max(rank, 1) - 1]


def spread(rows: int, answered: int, within: int, errors: Iterable[float], inside: Sequence[bool] = ()) -> Spread:
    """The spread of signed relative errors, and how many intervals held."""
    ordered = sorted(abs(error) for error in errors)
    if not ordered:
        return Spread(rows, answered, 0, within, None, None, None)
    covered = sum(inside) / len(inside) if inside else None
    worst, mean = ordered[-1], sum(ordered) / len(ordered)
    return Spread(
        rows, answered, len(ordered), within, median(ordered), nearest_rank(ordered, 0.9), worst, mean, covered
    )
