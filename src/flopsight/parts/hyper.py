"""Hyper-connections: several residual streams that every block reads from and writes to with computed weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise, matmul
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class HyperConnection:
    """Weights to collapse N streams into a block's input, to spread its output, and to mix the streams.

        weights  2·T·N·d·(2+N)·N      mix  2·T·N·N·d      (without `mixing`: 2·T·N·d·2·N and no mix)

    d width, N streams. Vector: a norm over N·d values, the collapse and the spreading (2·N·d each), and
    `rounds` normalisations of the N·N mixing weights (Sinkhorn). DeepSeek-V4; Xie et al. 2025, arXiv 2512.24880.
    """

    width: int
    streams: int
    mixing: bool = True
    rounds: int = 20
    kind: str = "other"

    letters: ClassVar[dict[str, str]] = {"width": "d", "streams": "N"}

    @property
    def weights(self) -> int:
        """Weights computed for a token: 2·N, and N·N more to mix."""
        return (2 + self.streams * self.mixing) * self.streams

    def tensors(self) -> Iterator[Tensor]:
        """`fn`, `base`, `scale`."""
        yield Tensor("fn", (self.weights, self.streams * self.width))
        yield Tensor("base", (self.weights,))
        yield Tensor("scale", (2 + self.mixing,))

    def ops(self, work: Work) -> Iterator[Op]:
        """Weights, mix, and what surrounds them."""
        n, d, t = self.streams, self.width, work.tokens
        yield matmul("weights", t, n * d, self.weights)
        if self.mixing:
            yield matmul("mix", t * n, n, d)
            yield elementwise("normalise", t * n * n, 4 * self.rounds)
        yield elementwise("collapse and spread", t * n * d, 3 + 4, inputs=2)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE


@dataclass(frozen=True, slots=True)
class HyperHead:
    """The last collapse of N streams of width d into one: 2·T·N·d·N, and a norm and a sum on the vector engine."""

    width: int
    streams: int
    kind: str = "other"

    letters: ClassVar[dict[str, str]] = {"width": "d", "streams": "N"}

    def tensors(self) -> Iterator[Tensor]:
        """`hc_fn`, `hc_base`, `hc_scale`."""
        yield Tensor("hc_fn", (self.streams, self.streams * self.width))
        yield Tensor("hc_base", (self.streams,))
        yield Tensor("hc_scale", (1,))

    def ops(self, work: Work) -> Iterator[Op]:
        """One matmul, a norm and a weighted sum."""
        inner = self.streams * self.width
        yield matmul("weights", work.tokens, inner, self.streams)
        yield elementwise("collapse", work.tokens * inner, 3 + 2)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
