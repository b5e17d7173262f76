"""Averages of neighbouring tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.expr import Number
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class SquareAverage:
    """The mean of every square of k x k patches.

        T·d vector FLOPs; `full` and executed 2·T·d·S/k² besides, B·S = T tokens, d width

    The framework averages by a matmul with a matrix of zeros and ones (Gemma 4), which the model does not ask for.
    """

    side: int
    width: int
    kind: str = "vision"

    letters: ClassVar[dict[str, str]] = {"side": "k", "width": "d"}

    def tensors(self) -> Iterator[Tensor]:
        """None."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """Sums, and the matmul that makes them."""
        squares: Number = work.queries // (self.side * self.side)
        dense = 2 * work.tokens * self.width * squares
        yield elementwise("average", work.tokens * self.width, 1)
        yield Op("average by matmul", "matrix", 0, dense, dense, backward=1)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
