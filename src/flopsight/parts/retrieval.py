"""Experts of a single neuron each, kept as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise, matmul
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class ExpertTable:
    """A table of E rows of width d; every token is contracted with the k rows its router picked.

        2·T·k·d

    Two tables make the experts: one to contract the token with, one to sum up (Doge; arXiv 2407.04153, section 2).
    """

    experts: int
    visited: int
    width: int
    kind: str = "experts"

    letters: ClassVar[dict[str, str]] = {"experts": "E", "visited": "k", "width": "d"}

    def tensors(self) -> Iterator[Tensor]:
        """`weight` [E, d]."""
        yield Tensor("weight", (self.experts, self.width), (self.visited, self.experts))

    def ops(self, work: Work) -> Iterator[Op]:
        """One product of a [k, d] matrix and a vector for each token, and the weighing of the k results."""
        yield matmul("matmul", work.tokens, self.width, self.visited)
        yield elementwise("weigh", work.tokens * self.visited, 1)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
