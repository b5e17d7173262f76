"""The core of differential attention as Diff-Llama has it: each head's scores weigh two heads' values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.parts.attention import AttentionCore
from flopsight.parts.masks import Causal, Mask
from flopsight.parts.part import Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class DifferentialCore:
    """Softmax attention whose h heads each mix values twice as wide as a head, then half of them minus the other half.

        scores  2·B·h·e·P      mix  2·B·h·2e·P      subtraction  2·T·h·e (vector)

    B sequences, h heads, e head width, P pairs under the mask. The framework computes the scores once for each half of
    the values, which only `full` counts. The cache holds k·2e values a token, k kv_heads (arXiv 2410.05258, section 2).
    """

    heads: int
    width: int
    kv_heads: int
    mask: Mask = Causal()  # noqa: RUF009 - frozen and without fields
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"heads": "h", "width": "e", "kv_heads": "k"}

    def tensors(self) -> Iterator[Tensor]:
        """None."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """Scores, softmax, mix, and the subtraction of the halves."""
        scores, softmax, _ = self._core(1).ops(work)
        _, _, mix = self._core(2).ops(work)
        yield from (replace(scores, full=2 * scores.full), softmax, mix)
        yield elementwise("subtraction", work.tokens * self.heads * self.width, 2, inputs=2)

    def _core(self, values: int) -> AttentionCore:
        """Ordinary attention with values `values` times as wide as a head."""
        return AttentionCore(self.heads, self.width, values * self.width, self.kv_heads, self.mask)

    def cache(self) -> Cache:
        """Keys and values."""
        return Cache(2 * self.kv_heads * self.width, self.mask.window)
