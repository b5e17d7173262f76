"""How wide an interval is where somebody else timed a kernel alone."""

from __future__ import annotations

import math
from typing import Final

from flopsight.validate.rows import Row

NINETY: Final = 1.645
"""Standard deviations of a normal law between the middle and either end of a 90 % interval."""
SAME_TABLES: Final = 0.15
"""Added to a kernel's spread for other versions of the engines whose tables were fitted."""
ELSEWHERE: Final = 0.25
"""The same for kernels, clocks and caches of other benchmarks. Both are the 68th percentile of |log(ours / published)|
over half of the groups of published kernel rows (by a hash of the group's name); the accuracy page has what they hold
on all."""


def kernel_sigma(row: Row, own: float) -> float:
    """Standard deviation of log(measured / predicted) of a published kernel, its own spread included."""
    return math.hypot(own, SAME_TABLES if row.group.startswith("aic-") else ELSEWHERE)
