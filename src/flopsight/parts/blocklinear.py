"""A stored block-diagonal matrix: every head projects its own slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, matmul
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class BlockLinear:
    """H blocks of m inputs and n outputs.

        2·T·H·m·n FLOPs

    Stored [H, n, m] under the name of its place in the tree (Zamba's mixers, the gates of RG-LRU).
    """

    kind: str
    blocks: int
    inputs: int
    outputs: int

    letters: ClassVar[dict[str, str]] = {"blocks": "H", "inputs": "m", "outputs": "n"}

    def tensors(self) -> Iterator[Tensor]:
        """The stacked blocks, named by their place in the tree."""
        yield Tensor("", (self.blocks, self.outputs, self.inputs))

    def ops(self, work: Work) -> Iterator[Op]:
        """One matmul a block."""
        yield matmul("matmul", work.tokens * self.blocks, self.inputs, self.outputs)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
