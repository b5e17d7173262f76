"""Attention inside blocks with some context around each, and scores of relative positions (a conformer's)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise, matmul
from flopsight.expr import Number, minimum
from flopsight.parts.masks import Window
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class BlockRelativeCore:
    """Local attention of `heads` heads over the last L tokens and the next R, with relative positions.

        scores and mix  2·2·B·h·e·P      positions  2·B·h·e·P      projection of positions  2·N·(h·e)² once

    B sequences, h heads, e head width, N relative positions, P pairs of a window of `before` tokens (itself included)
    and `after` later ones. `full` and
    executed are what the framework does: blocks of C queries against C + before - 1 + after keys, the last block
    padded, every query against all `positions`.
    """

    heads: int
    width: int
    block: int
    before: int
    after: int
    kind: str = "audio"

    letters: ClassVar[dict[str, str]] = {"heads": "h", "width": "e", "block": "C", "before": "L", "after": "R"}

    @property
    def context(self) -> int:
        """Keys that a block of queries is compared with."""
        return self.block + self.before - 1 + self.after

    @property
    def positions(self) -> int:
        """Relative positions that have a key of their own."""
        return self.context // 2 + 1

    def tensors(self) -> Iterator[Tensor]:
        """`relative_k_proj.weight` and `per_dim_scale`."""
        wide = self.heads * self.width
        yield Tensor("relative_k_proj.weight", (wide, wide))
        yield Tensor("per_dim_scale", (self.width,))

    def ops(self, work: Work) -> Iterator[Op]:
        """Positions, scores, softmax, mix."""
        wide = self.heads * self.width
        pairs = (Window(self.before).pairs(work) + self.after * work.queries) * work.sequences
        rows: Number = (work.queries + self.block - 1) // self.block * self.block * work.sequences
        yield matmul("positions", self.positions * minimum(work.sequences, 1), wide, wide)
        for name, keys in (("scores", self.context), ("position scores", self.positions), ("mix", self.context)):
            dense = 2 * wide * rows * keys
            yield Op(name, "matrix", 2 * wide * pairs, dense, dense, core=True, reads=work.tokens * wide)
        yield elementwise("softmax", self.heads * pairs, 9, inputs=0, outputs=0)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
