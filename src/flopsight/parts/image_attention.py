"""Linear attention without a causal order, as image generators use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class LinearImageCore:
    """Attention with relu feature maps over all tokens at once (Sana, arXiv 2410.10629, section 2.2).

        state  2·T·h·e·(e+1)     mix  2·T·h·e·(e+1)     vector: relu 2·h·e, division h·(e+1), a token

    T tokens, h heads, e head width. The state is the sum of value times key over the tokens, with one more value row
    of ones that carries the normaliser.
    """

    heads: int
    head_width: int
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"heads": "h", "head_width": "e"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the projections hold them."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """State, mix, feature maps."""
        wide = self.heads * self.head_width
        flops = 2 * work.tokens * wide * (self.head_width + 1)
        moved = work.tokens * wide
        yield Op("state", "matrix", flops, flops, flops, core=True, reads=2 * moved)
        yield Op("mix", "matrix", flops, flops, flops, core=True, reads=moved, writes=moved)
        yield elementwise("relu and division", work.tokens * self.heads * (3 * self.head_width + 1), 1)

    def cache(self) -> Cache:
        """Nothing: every step of denoising sees all tokens."""
        return NO_CACHE
