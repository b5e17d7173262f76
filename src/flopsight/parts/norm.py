"""Normalisations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class Norm:
    """RMSNorm or LayerNorm over the last dimension, `copies` times a token (one per head for a qk norm).

        RMSNorm    n·(3 + w)         square, sum, scale; weight
        LayerNorm  n·(5 + w + b)     mean, centre, square, sum, scale; weight; bias

    n width, w and b 1 if there is a weight or a bias. Vector FLOPs; the square root and the division by n happen
    once a token and are left out.
    """

    width: int
    form: str = "rms"
    weight: bool = True
    bias: bool = False
    copies: int = 1
    kind: str = "norm"
    shape: tuple[int, ...] | None = None

    letters: ClassVar[dict[str, str]] = {"width": "n", "copies": "c"}

    def tensors(self) -> Iterator[Tensor]:
        """`weight` and `bias`, as far as they exist; `shape` replaces (n,) where heads have their own weights."""
        shape = self.shape or (self.width,)
        if self.weight:
            yield Tensor("weight", shape)
        if self.bias:
            yield Tensor("bias", shape)

    def ops(self, work: Work) -> Iterator[Op]:
        """One vector op."""
        per_element = (3 if self.form == "rms" else 5) + self.weight + self.bias
        yield elementwise("norm", work.tokens * self.copies * self.width, per_element)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
