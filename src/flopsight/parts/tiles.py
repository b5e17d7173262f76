"""Window attention of a vision tower over a square picture."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import ClassVar

from flopsight.expr import Number
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class Tiles:
    """Full attention inside tiles of `side` x `side` patches of a square picture (Qwen2.5-VL).

    A picture of g x g patches with g = q·w + r, w the side, has (q·w² + r²)² pairs: the sum over both axes of the
    squared lengths of its tiles. Frameworks run each tile as a call of its own, so the square they compute is the same.
    """

    side: int
    label: ClassVar[str] = "tiles"
    window: ClassVar[int | None] = None

    def pairs(self, work: Work) -> Number:
        """(q·w² + r²)²."""
        if not isinstance(work.queries, int):
            raise TypeError("the number of patches of a picture is a plain whole number")
        whole, rest = divmod(isqrt(work.queries), self.side)
        return (whole * self.side * self.side + rest * rest) ** 2

    def square(self, work: Work) -> Number:
        """The same: nothing outside a tile is computed."""
        return self.pairs(work)
