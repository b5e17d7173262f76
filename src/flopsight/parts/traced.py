"""A module whose FLOPs are known only from traced runs at a few lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op
from flopsight.parts.masks import Causal, Full, Mask
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class Traced:
    """Stored tensors, and a quadratic in the length that traced runs fix.

        B·(a + b·S + c·S·(P+S)) / d

    a, b, c whole coefficients over the denominator d. The quadratic term is the score square; where the model is
    known to be causal, `required` takes the causal area of it. Vector work is not seen by a trace and not counted.
    """

    kind: str
    stored: tuple[Tensor, ...]
    constant: int = 0
    linear: int = 0
    square: int = 0
    denominator: int = 1
    causal: bool = False

    letters: ClassVar[dict[str, str]] = {"constant": "a", "linear": "b", "square": "c", "denominator": "d"}

    def tensors(self) -> Iterator[Tensor]:
        """Those of the module."""
        return iter(self.stored)

    def ops(self, work: Work) -> Iterator[Op]:
        """One op that stands for everything the trace saw in this module."""
        if not (self.constant or self.linear or self.square):
            return
        mask: Mask = Causal() if self.causal else Full()
        required = self._flops(work, mask)
        yield Op("traced", "matrix", required, self._flops(work, Full()), required, core=bool(self.square))

    def _flops(self, work: Work, mask: Mask) -> int:
        each = self.constant + self.linear * work.queries + self.square * mask.pairs(work)
        flops: int = work.sequences * each // self.denominator
        return flops

    def cache(self) -> Cache:
        """Not known from a trace."""
        return NO_CACHE
