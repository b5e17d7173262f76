"""Convolutions: patch embeddings, audio front ends, and the short depthwise ones of recurrent mixers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.expr import minimum
from flopsight.parts.part import Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution evaluated at every token of its stream (its output positions).

        2·T·n·(m/g)·K FLOPs     n output channels, m input channels, g groups, K taps

    kernel   taps by dimension; K is their product. Zero padding is multiplied like any other value.
    causal   a short causal convolution along the tokens: the last K-1 inputs are kept between steps
    extra    output positions beyond the stream's own that a framework computes and cuts off (per sequence);
             only in `full`, and not in a decode step
    """

    kind: str
    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    bias: bool = True
    groups: int = 1
    causal: bool = False
    extra: int = 0

    letters: ClassVar[dict[str, str]] = {"inputs": "m", "outputs": "n", "groups": "g"}

    def tensors(self) -> Iterator[Tensor]:
        """`weight` [n, m/g, *kernel], and `bias`."""
        yield Tensor("weight", (self.outputs, self.inputs // self.groups, *self.kernel))
        if self.bias:
            yield Tensor("bias", (self.outputs,))

    def ops(self, work: Work) -> Iterator[Op]:
        """The contraction, and the bias."""
        taps = (self.inputs // self.groups) * prod(self.kernel)
        flops = 2 * work.tokens * self.outputs * taps
        cut = 0 if work.absorbed else self.extra
        full = flops + 2 * cut * work.sequences * self.outputs * taps
        moved = {"reads": work.tokens * self.inputs, "writes": work.tokens * self.outputs}
        tail = work.sequences * self.cache().fixed
        kept = {"cache_reads": tail * minimum(work.past, 1), "cache_writes": tail}
        yield Op("conv", "matrix", flops, full, flops, **moved, **kept)
        if self.bias:
            yield elementwise("bias", work.tokens * self.outputs, 1)

    def cache(self) -> Cache:
        """The tail of a causal convolution."""
        return Cache(fixed=self.inputs * (self.kernel[0] - 1)) if self.causal else Cache()
