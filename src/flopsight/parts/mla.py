"""Multi-head latent attention: keys and values rebuilt from one low-rank vector a token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise, matmul
from flopsight.expr import Number
from flopsight.parts.masks import Causal, Mask, seen
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class LatentUp:
    """The up-projection of the latent to every head's key and value (`kv_b_proj`).

        expanded  2·T·r·h·(n+v)      executed in training and prefill, and what is required
        absorbed  the same number of FLOPs, folded into the query (2·T·h·n·r) and the output (2·T·h·r·v)

    r latent rank, h heads, n key width without the rotary part, v value width. The two forms differ in the core.
    """

    rank: int
    heads: int
    key_width: int
    value_width: int
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"rank": "r", "heads": "h", "key_width": "n", "value_width": "v"}

    def tensors(self) -> Iterator[Tensor]:
        """`weight`."""
        yield Tensor("weight", (self.heads * (self.key_width + self.value_width), self.rank))

    def ops(self, work: Work) -> Iterator[Op]:
        """One matmul, once per token, in either form."""
        yield matmul("matmul", work.tokens, self.rank, self.heads * (self.key_width + self.value_width))

    def cache(self) -> Cache:
        """Nothing; the latent itself is cached by the core."""
        return NO_CACHE


@dataclass(frozen=True, slots=True)
class LatentCore:
    """Scores and mix of multi-head latent attention.

        expanded  2·B·h·P·(n+p+v)        required, and executed in training and prefill
        absorbed  2·B·h·P·(2·r+p)        executed in decode: scores and mix in the latent space

    n key width without rotary part, p rotary width, v value width, r latent rank, P pairs under the mask.
    The cache holds r+p values a token whatever the number of heads (DeepSeek-V2, arXiv 2405.04434, section 2.1).
    """

    heads: int
    nope: int
    rope: int
    value_width: int
    rank: int
    mask: Mask = Causal()  # noqa: RUF009 - frozen and without fields
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"heads": "h", "nope": "n", "rope": "p", "value_width": "v", "rank": "r"}

    def tensors(self) -> Iterator[Tensor]:
        """None."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """Scores, softmax, mix."""
        kept = self.cache().per_token
        cached = kept * work.sequences * seen(self.mask, work), kept * work.tokens
        yield self._core("scores", work, self.nope + self.rope, self.rank + self.rope, cached)
        yield elementwise("softmax", self.heads * work.sequences * self.mask.pairs(work), 5, inputs=0, outputs=0)
        yield self._core("mix", work, self.value_width, self.rank, (0, 0))

    def _core(self, name: str, work: Work, expanded: int, absorbed: int, cached: tuple[Number, Number]) -> Op:
        pairs, square = self.mask.pairs(work) * work.sequences, self.mask.square(work) * work.sequences
        width = self.heads * expanded
        executed = self.heads * absorbed if work.absorbed else width
        moved = work.tokens * width
        return Op(
            name, "matrix", 2 * width * pairs, 2 * width * square, 2 * executed * pairs, rebuilt=width * pairs,
            core=True, reads=moved, writes=moved, cache_reads=cached[0], cache_writes=cached[1],
        )  # fmt: skip

    def cache(self) -> Cache:
        """The latent and the shared rotary key."""
        return Cache(self.rank + self.rope)
