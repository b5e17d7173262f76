"""A matrix for each expert, of which every token visits a few, and the scores that pick keys for attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise, matmul
from flopsight.parts.masks import Causal, Mask
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class RoutedLinear:
    """E matrices of which a token visits k.

        2·T·k·m·n FLOPs     m inputs, n outputs, E experts, k visited

    Stored [E, n, m], or [E, m, n] if `transposed`; `flat` joins the first two dimensions (DBRX).
    Used where experts are not an MLP (JetMoE's attention) or are stored as three tensors.
    """

    kind: str
    experts: int
    visited: int
    inputs: int
    outputs: int
    flat: bool = False
    transposed: bool = False
    weight: str = "weight"

    letters: ClassVar[dict[str, str]] = {"inputs": "m", "outputs": "n", "experts": "E", "visited": "k"}

    def tensors(self) -> Iterator[Tensor]:
        """One stacked tensor."""
        rows, columns = (self.inputs, self.outputs) if self.transposed else (self.outputs, self.inputs)
        shape = (self.experts * rows, columns) if self.flat else (self.experts, rows, columns)
        yield Tensor(self.weight, shape, (self.visited, self.experts))

    def ops(self, work: Work) -> Iterator[Op]:
        """One matmul over T·k rows."""
        yield matmul("matmul", work.tokens * self.visited, self.inputs, self.outputs)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE


@dataclass(frozen=True, slots=True)
class IndexCore:
    """Scores that decide which keys attention will see (the lightning indexer of DeepSeek-V3.2 and relatives).

        scores  2·B·h·e·P      sum over heads  2·B·h·P (a matmul where `summed`, else vector)

    h small heads against one key of e values, P pairs of the whole causal context: the indexer sees everything so
    that attention need not (DeepSeek-V3.2, arXiv 2512.02556, section 2.1). Its key of e values a token is cached;
    `rate` tokens share one where keys are compressed.
    """

    heads: int
    width: int
    mask: Mask = Causal()  # noqa: RUF009 - frozen and without fields
    summed: bool = True
    rate: int = 1
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"heads": "h", "width": "e", "rate": "m"}

    def tensors(self) -> Iterator[Tensor]:
        """None."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """Scores, then rectifier, sum over heads and the choice of the largest."""
        pairs, square = self.mask.pairs(work) * work.sequences, self.mask.square(work) * work.sequences
        inner = self.heads * (self.width + self.summed)
        kept = self.cache().per_token
        yield Op(
            "index scores", "matrix", 2 * inner * pairs, 2 * inner * square, 2 * inner * pairs, core=True,
            reads=work.tokens * self.heads * (self.width + 1), writes=pairs,
            cache_reads=kept * work.sequences * work.past, cache_writes=kept * work.tokens,
        )  # fmt: skip
        yield elementwise("choice", self.heads * pairs, 1 if self.summed else 3, inputs=0, outputs=0)

    def cache(self) -> Cache:
        """One key for every `rate` tokens."""
        return Cache(-(-self.width // self.rate))
