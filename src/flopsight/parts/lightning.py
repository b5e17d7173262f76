"""Lightning attention: linear attention with a fixed decay for each head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.expr import Number
from flopsight.parts.masks import Blocks, Chunk
from flopsight.parts.part import Cache, Tensor
from flopsight.parts.recurrence import Forms, scan
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class LightningCore:
    """S = a·S + k outer v, y = q·S, on H heads with a state of e x e.

        step     4·T·H·e²                   update and read
        chunked  4·B·H·e·A + 4·T·H·e²       scores and mix over A, the causal area inside blocks; update and read
        full     the same with whole blocks, the last one as long as what is left

    H heads, e head width, L block. Qin et al. 2024, arXiv 2401.04658, section 3.2. Vector: decay H·e² a token.
    Kept: H·e² values.
    """

    heads: int
    width: int
    block: int
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"heads": "H", "width": "e", "block": "L"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the projections hold them."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """The recurrence and its decay."""
        inner = self.heads * self.width
        states = 4 * work.tokens * self.cache().fixed
        full = states + self._inside(Blocks(self.block).pairs(work), work)
        chunked = states + self._inside(Chunk(self.block).area(work.queries), work)
        yield scan("linear attention", work, Forms(states, full, chunked), (3 * inner, inner), self.cache().fixed)
        yield elementwise("decay", work.tokens * self.cache().fixed, 1, inputs=0, outputs=0)

    def _inside(self, pairs: Number, work: Work) -> Number:
        return 4 * work.sequences * self.heads * self.width * pairs

    def cache(self) -> Cache:
        """The state."""
        return Cache(fixed=self.heads * self.width * self.width)
