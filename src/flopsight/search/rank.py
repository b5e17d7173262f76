"""Why one layout loses to another: device time of a token, cause by cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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


def gap(first: Mapping[str, float], second: Mapping[str, float]) -> Gap:
    """Compare two layouts; rows are (cause, seconds of the first, of the second)."""
    names = list(dict.fromkeys([*first, *second]))
    rows = sorted(((n, first.get(n, 0.0), second.get(n, 0.0)) for n in names), key=lambda r: r[1] - r[2])
    return Gap(
        (sum(first.values()), sum(second.values())), tuple(r for r in rows if r[2] > r[1]),
        tuple(r for r in reversed(rows) if r[2] < r[1]),
    )  # fmt: skip
