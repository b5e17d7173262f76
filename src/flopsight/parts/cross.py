"""Scores and mix against the tokens of another stream, whose keys and values are computed once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.parts.part import Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class CrossCore:
    """Attention of S decoder tokens to all K tokens of an encoder.

        scores  2·B·h·e·S·K      mix  2·B·h·v·S·K      softmax  5·B·h·S·K (vector)

    B sequences, h heads, e key width, v value width. `work.keys` is K; `work.past` is how many of the K keys are in
    the cache already: none in the pass that ran the encoder, all of them in a decode step.
    length  K where the family fixes it; otherwise the cache is taken to hold as many encoder tokens as context
    optional  the other side may be absent, so no cache is counted as held; what a step moves is
    """

    heads: int
    key_width: int
    value_width: int
    kv_heads: int
    length: int = 0
    optional: bool = False
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"heads": "h", "key_width": "e", "value_width": "v", "kv_heads": "k"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the projections hold them."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """Scores, softmax, mix."""
        pairs, moved = work.tokens * work.keys, work.tokens * self.heads
        held = self.kv_heads * (self.key_width + self.value_width) * work.sequences
        for name, width, kept in (("scores", self.key_width, held), ("mix", self.value_width, 0)):
            flops = 2 * self.heads * width * pairs
            yield Op(
                name, "matrix", flops, flops, flops, rebuilt=self.heads * width * pairs, core=True,
                reads=moved * width, writes=moved * width,
                cache_reads=kept * work.past, cache_writes=kept * (work.keys - work.past),
            )  # fmt: skip
        yield elementwise("softmax", self.heads * pairs, 5, inputs=0, outputs=0)

    def cache(self) -> Cache:
        """Keys and values of the encoder's tokens."""
        per_token = self.kv_heads * (self.key_width + self.value_width) * (not self.optional)
        return Cache(fixed=per_token * self.length) if self.length else Cache(per_token)
