"""From tokens to one vector, and from vectors to a score: attention pooling, similarity of texts and images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, matmul
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class PackedProjection:
    """Query, key and value in one stored matrix, the query applied to S tokens and the other two to K.

        2·B·d²·(S + 2·K)        B sequences, d width

    `in_proj_weight` [3d, d] and `in_proj_bias` [3d], as torch.nn.MultiheadAttention stores them.
    """

    width: int
    bias: bool = True
    kind: str = "vision"

    letters: ClassVar[dict[str, str]] = {"width": "d"}

    def tensors(self) -> Iterator[Tensor]:
        """`in_proj_weight` and `in_proj_bias`, directly in the parent module."""
        yield Tensor("in_proj_weight", (3 * self.width, self.width))
        if self.bias:
            yield Tensor("in_proj_bias", (3 * self.width,))

    def ops(self, work: Work) -> Iterator[Op]:
        """The query's matmul and that of keys and values."""
        yield matmul("query", work.tokens, self.width, self.width)
        yield matmul("key and value", work.sequences * work.keys, self.width, 2 * self.width)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE


@dataclass(frozen=True, slots=True)
class Similarity:
    """The score of every text with every image of a batch: 2·S·K·d for S texts, K images (`work.keys`), d width."""

    width: int
    kind: str = "other"

    letters: ClassVar[dict[str, str]] = {"width": "d"}

    def tensors(self) -> Iterator[Tensor]:
        """None."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """One matmul of two activations."""
        yield matmul("similarity", work.tokens, self.width, work.keys)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
