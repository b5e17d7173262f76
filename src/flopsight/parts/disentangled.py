"""The position terms of disentangled attention (DeBERTa, He et al. 2020, arXiv 2006.03654)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class PositionScores:
    """Content against relative positions: each term scores S tokens with R position vectors, then picks.

        2·t·B·h·e·S·R        B sequences, h heads, e head width, t terms (content to position, position to content)

    R is `work.keys`, the rows of the position table in use.
    """

    heads: int
    head_width: int
    terms: int
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"heads": "h", "head_width": "e", "terms": "t"}

    def tensors(self) -> Iterator[Tensor]:
        """None: table and projections are stored elsewhere."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """One batched matmul a term."""
        width = self.terms * self.heads * self.head_width
        flops = 2 * width * work.tokens * work.keys
        yield Op("position scores", "matrix", flops, flops, flops, core=True, reads=work.tokens * width)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
