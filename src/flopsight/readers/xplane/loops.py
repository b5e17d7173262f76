"""Which rows enclose others: loops, conditionals and calls, whose bodies are rows of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from flopsight.trace.columns import Ints
from flopsight.trace.nesting import parents


def encloses(start: Ints, end: Ints, thread: Ints) -> Any:
    """Whether another row of the same thread, of some length, lies wholly inside of each one.

    Neighbours that overlap by a tick of the clock enclose nothing, nor does a row that only holds moments.
    """
    parent = parents(start, end, thread)
    inside = np.flatnonzero((parent >= 0) & (end > start))
    inside = inside[end[inside] <= end[parent[inside]]]
    found = np.zeros(len(start), bool)
    found[parent[inside]] = True
    return found
