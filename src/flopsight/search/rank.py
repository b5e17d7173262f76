"""Why one layout loses to another: device time of a token, cause by cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Final

ORDER: Final = ((0.02, 0.49), (0.05, 0.61), (0.1, 0.77), (0.2, 0.89), (0.4, 0.99), (float("inf"), 1.0))
"""Predicted gaps in rate (log) up to which, and the share of published pairs of layouts that were measured in the
predicted order: 246, 254, 282, 367, 271 and 68 of 1,488 pairs that differ in their layout alone, with the same requests
in flight a device (InferenceX and NVIDIA runs in aiconfigurator-core 0.12.0; tools/check_plan.py). The engines'
constants were fitted on most of these runs, though not on their differences."""
SURE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Gap:
    """Device-seconds that one token costs more under the second layout than under the first, by cause.

    seconds   first and second, all causes together
    larger    causes in which the second spends more, the largest first
    smaller   causes in which it spends less
    """

    seconds: tuple[float, float]
    larger: tuple[tuple[str, float, float], ...]
    smaller: tuple[tuple[str, float, float], ...]

    @property
    def slower(self) -> float:
        """Share of the first one's rate that the second lacks."""
        return 1 - self.seconds[0] / self.seconds[1]


def in_order(slower: float) -> float:
    """How often published pairs of served layouts with such a predicted gap were measured in the same order."""
    apart = abs(log(1 - slower)) if slower < 1 else float("inf")
    return next(share for most, share in ORDER if apart < most)


def gap(first: Mapping[str, float], second: Mapping[str, float]) -> Gap:
    """Compare two layouts; rows are (cause, seconds of the first, of the second)."""
    names = list(dict.fromkeys([*first, *second]))
    rows = sorted(((n, first.get(n, 0.0), second.get(n, 0.0)) for n in names), key=lambda r: r[1] - r[2])
    return Gap(
        (sum(first.values()), sum(second.values())), tuple(r for r in rows if r[2] > r[1]),
        tuple(r for r in reversed(rows) if r[2] < r[1]),
    )  # fmt: skip
