"""Routed experts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise, matmul
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.parts.vector import FLOPS_OF
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class Experts:
    """E experts of which every token visits k, each a gated or a two-matrix MLP.

        2·T·k·3·d·f gated     2·T·k·2·d·f otherwise     vector: activation f·a, weighted sum 2·d, both times k

    d width, f inner width, E experts, k visited. The matrices of all experts are stored stacked: `up` [E, c·f, d]
    with c = 2 if gated, `down` [E, d, f]; `transposed` stores [E, d, c·f] and [E, f, d].
    Executed equals required: no capacity factor, no padding to tiles.
    """

    experts: int
    visited: int
    width: int
    inner: int
    gated: bool = True
    bias: bool = False
    transposed: bool = False
    activation: str = "silu"
    up: str = "gate_up_proj"
    down: str = "down_proj"
    bias_suffix: str = "_bias"
    kind: str = "experts"

    letters: ClassVar[dict[str, str]] = {"experts": "E", "visited": "k", "width": "d", "inner": "f"}

    def tensors(self) -> Iterator[Tensor]:
        """Two stacked tensors, and their biases."""
        e, d, f, routed = self.experts, self.width, self.inner, (self.visited, self.experts)
        c = (1 + self.gated) * f
        yield Tensor(self.up, (e, d, c) if self.transposed else (e, c, d), routed)
        if self.bias:
            yield Tensor(self.up + self.bias_suffix, (e, c), routed)
        yield Tensor(self.down, (e, f, d) if self.transposed else (e, d, f), routed)
        if self.bias:
            yield Tensor(self.down + self.bias_suffix, (e, d), routed)

    def ops(self, work: Work) -> Iterator[Op]:
        """Up, activation, down, weighted sum, over T·k rows."""
        rows = work.tokens * self.visited
        yield matmul("up", rows, self.width, (1 + self.gated) * self.inner)
        yield elementwise("activation", rows * self.inner, FLOPS_OF.get(self.activation, 5) + self.gated)
        yield matmul("down", rows, self.inner, self.width)
        yield elementwise("weighted sum", rows * self.width, 2 + self.bias)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
