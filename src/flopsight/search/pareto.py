"""The points that no other point beats in both coordinates."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points with the highest y among all of the same or a higher x, by falling x.

    >>> front([(1, 5), (2, 4), (2, 3), (0.5, 5)])
    [1, 0]
    """
    best, found = float("-inf"), []
    for index in sorted(range(len(points)), key=lambda i: (-points[i][0], -points[i][1])):
        if points[index][1] > best:
            best = points[index][1]
            found.append(index)
    return found


def thinned(indices: Sequence[int], points: Sequence[tuple[float, float]], most: int) -> list[int]:
    """At most so many of a front, its ends kept, evenly spaced in log x."""
    from math import log

    if len(indices) <= most:
        return list(indices)
    first, last = (log(points[indices[end]][0]) for end in (0, -1))
    kept = {0, len(indices) - 1}
    for step in range(1, most - 1):
        wanted = first + (last - first) * step / (most - 1)
        kept.add(min(range(len(indices)), key=lambda i: abs(log(points[indices[i]][0]) - wanted)))
    return [indices[i] for i in sorted(kept)]
