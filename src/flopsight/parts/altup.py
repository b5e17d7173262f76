"""Alternating updates: several copies of the residual stream of which a layer works on one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class AltUpMix:
    """Predict all copies from all copies before a layer, correct all of them after it.

        predict  2·T·d·n²      vector: add d·n; difference d, correct 2·d·n

    T tokens, n copies of the stream, d width; the coefficients come from a router on the active copy
    (Baykal et al. 2023, arXiv 2301.13310; Gemma 3n).
    """

    copies: int
    width: int
    kind: str = "other"

    letters: ClassVar[dict[str, str]] = {"copies": "n", "width": "d"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the coefficients' matrices are linears beside it."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """The product of two activations, and the vector work of both halves."""
        wide = work.tokens * self.width * self.copies
        flops = 2 * wide * self.copies
        yield Op("predict", "matrix", flops, flops, flops, reads=wide, writes=wide)
        yield elementwise("add and correct", wide, 3, inputs=2)
        yield elementwise("difference", work.tokens * self.width, 1, inputs=2)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
