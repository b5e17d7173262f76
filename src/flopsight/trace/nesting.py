"""Which event of a thread lies in which: from start and end alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flopsight.trace.columns import Host, Ints

MOST_LEVELS = 4096


def nested(host: Host) -> Host:
    """The same events with `parent` filled from their times."""
    return replace(host, parent=parents(host.start, host.end, host.thread))


def parents(start: Ints, end: Ints, thread: Ints) -> Ints:
    """Row of the innermost event of the same thread that encloses each one; -1 at the top.

    Events of a thread are taken to be nested; one that overhangs the event it starts in counts as inside. Of two with
    the same times the earlier row is the outer one.
    """
    size = len(start)
    found = np.full(size, -1, np.int32)
    if not size:
        return found
    order = np.lexsort((np.arange(size), -end, start, thread))
    level = _levels(start[order], end[order], thread[order])
    above = np.empty(0, np.int64)
    for depth in range(int(level.max()) + 1):
        mine = np.flatnonzero(level == depth)
        if depth:
            found[order[mine]] = order[above[np.searchsorted(above, mine) - 1]]
        above = mine
    return found


def _levels(start: Ints, end: Ints, thread: Ints) -> Ints:
    """How many events of its thread are open when each begins (rows sorted by thread, start, -end)."""
    size = len(start)
    # an event is open at a start if it began before (by order) and ends later: begun minus ended
    ended = np.zeros(size, np.int64)
    cuts = np.flatnonzero(np.diff(thread)) + 1
    for first, last in zip((0, *cuts.tolist()), (*cuts.tolist(), size), strict=True):
        mine = slice(first, last)
        closed = np.searchsorted(np.sort(end[mine]), start[mine], side="right")
        # events without duration, at the same time, close themselves or neighbours: they hold nothing open
        ended[mine] = np.minimum(closed, np.arange(last - first))
    begun = np.arange(size) - np.repeat((0, *cuts.tolist()), np.diff((0, *cuts.tolist(), size)))
    level = begun - ended
    return np.asarray(np.clip(level, 0, MOST_LEVELS))
