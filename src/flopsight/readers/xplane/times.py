"""Picoseconds after a line's zero -> nanoseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from flopsight.readers.xplane.space import Events, Line
from flopsight.trace.columns import Ints

FURTHEST = 1 << 62


def times(line: Line, events: Events) -> tuple[Any, Ints, Ints]:
    """Which events have a time, and the starts and ends of those in ns; end < start where the duration is no duration.

    Both ends are rounded down, so that events that touch still touch and sums over them stay true.
    """
    good = ~events.broken & ~events.aggregated & (abs(line.timestamp) < FURTHEST)
    offset, duration = events.offset[good], events.duration[good]
    base = line.timestamp if abs(line.timestamp) < FURTHEST else 0
    start = base + offset // 1000
    known = (duration >= 0) & (duration < FURTHEST)
    end = start + (offset % 1000 + np.where(known, duration, 0)) // 1000
    return good, start, np.where(known, end, start - 1)
