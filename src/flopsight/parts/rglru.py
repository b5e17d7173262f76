"""The real-gated linear recurrent unit of Griffin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op
from flopsight.expr import minimum
from flopsight.parts.part import Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class RgLru:
    """h = a·h + sqrt(1 - a²)·(i·x), channel by channel; no contraction at all.

        vector: 20·T·w      two sigmoids, softplus, exponentials, square root, the update

    w channels. De et al. 2024, arXiv 2402.19427, section 2.4. The two gates are block matrices beside it.
    Kept: w values.
    """

    width: int
    kind: str = "mixer"

    letters: ClassVar[dict[str, str]] = {"width": "w"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the decay is a parameter beside it."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """One vector op."""
        values = work.tokens * self.width
        kept = work.sequences * self.width
        yield Op(
            "recurrence", "vector", 20 * values, 0, 20 * values, reads=3 * values, writes=values,
            cache_reads=kept * minimum(work.past, 1), cache_writes=kept,
        )  # fmt: skip

    def cache(self) -> Cache:
        """The state."""
        return Cache(fixed=self.width)
