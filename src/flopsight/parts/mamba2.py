"""The state-space dual of Mamba-2: one decay a head, so that chunks become matmuls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.expr import Number, ceil_div
from flopsight.parts.masks import Chunk
from flopsight.parts.part import Cache, Tensor
from flopsight.parts.recurrence import Forms, scan
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class StateSpaceDual:
    """h = a·h + (dt·x) outer B, y = h·C + D·x, on H heads of p channels and n states; B and C shared by groups.

        step     4·T·H·p·n                                    update and output
        chunked  2·B·A·(g·n + H·p) + 4·T·H·p·n                scores, mix, states, output; A the causal area in chunks
        full     B·H·(c·(2·L²·(n+p) + 4·L·p·n) + 2·(c+1)²·p·n)   all heads, whole chunks, c = ceil(S/L) of them

    H heads, p head width, n states, g groups, L chunk. Dao and Gu 2024, arXiv 2405.21060, section 6; chunked as in
    its kernels (mamba_ssm ssd_combined: scores once a group, causal blocks only, the backward pass builds scores and
    states again). Full is the eager form with c chunks padded to L and the states passed on by a (c+1)² matmul.
    Vector: decay H·p·n a token. Kept: H·p·n values.
    """

    heads: int
    width: int
    states: int
    groups: int
    chunk: int
    kind: str = "mixer"

    letters: ClassVar[dict[str, str]] = {
        "heads": "H", "width": "p", "states": "n", "groups": "g", "chunk": "L",
    }  # fmt: skip

    def tensors(self) -> Iterator[Tensor]:
        """None: A, D and the step width's bias are tensors of the mixer."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """The recurrence; decay, softplus of the step width, skip connection."""
        inner = self.heads * self.width
        moved = inner + 2 * self.groups * self.states + self.heads
        yield scan("scan", work, self._forms(work), (moved, inner), self.cache().fixed)
        yield elementwise("decay", work.tokens * inner * self.states, 1, inputs=0, outputs=0)
        yield elementwise("step width and skip", work.tokens * (3 * inner + 6 * self.heads), 1, inputs=0, outputs=0)

    def _forms(self, work: Work) -> Forms:
        area = Chunk(self.chunk).area(work.queries) * work.sequences
        states = 2 * work.tokens * self.cache().fixed
        scores = 2 * area * self.groups * self.states
        chunked = scores + 2 * area * self.heads * self.width + 2 * states
        return Forms(2 * states, self._full(work), chunked, rebuilt=scores + states)

    def _full(self, work: Work) -> Number:
        p, n, size = self.width, self.states, self.chunk
        chunks = ceil_div(work.queries, size)
        inside = chunks * (2 * size * size * (n + p) + 4 * size * p * n)
        return work.sequences * self.heads * (inside + 2 * (chunks + 1) * (chunks + 1) * p * n)

    def cache(self) -> Cache:
        """The state."""
        return Cache(fixed=self.heads * self.width * self.states)
