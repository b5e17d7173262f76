"""The core of softmax attention: scores, softmax, mix. The projections around it are ordinary linears."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.expr import Number
from flopsight.parts.masks import Causal, Mask, seen
from flopsight.parts.part import Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class AttentionCore:
    """Softmax attention of `heads` query heads over `kv_heads` shared key and value heads.

        scores  2·B·h·e·P      mix  2·B·h·v·P      softmax  5·B·h·P (vector)

    B sequences, h heads, e key width, v value width, P query-key pairs of one sequence that the mask lets through
    (`full` takes the whole square). Executed is a fused causal kernel: the required area, and in its backward pass
    the scores once more (2.5 times the forward instead of 2; Dao 2023, arXiv 2307.08691).
    The cache holds k·(e+v) values a token, k kv_heads; `cached` is False where nothing is kept; where another layer's
    cache is read, `borrowed` is true besides: it is moved a second time, but neither held nor written again.
    """

    heads: int
    key_width: int
    value_width: int
    kv_heads: int
    mask: Mask = Causal()  # noqa: RUF009 - frozen and without fields
    cached: bool = True
    shared_kv: bool = False
    borrowed: bool = False
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"heads": "h", "key_width": "e", "value_width": "v", "kv_heads": "k"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the projections hold them."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """Scores, softmax, mix."""
        pairs, square = self.mask.pairs(work) * work.sequences, self.mask.square(work) * work.sequences
        moved = work.tokens * self.heads
        yield _core("scores", self.heads * self.key_width, pairs, square, moved * self.key_width, self._cached(work))
        yield elementwise("softmax", self.heads * pairs, 5, inputs=0, outputs=0)
        yield _core("mix", self.heads * self.value_width, pairs, square, moved * self.value_width, (0, 0))

    def _cached(self, work: Work) -> tuple[Number, Number]:
        """Elements read from and written to the cache: the window (or everything) once a sequence, the new tokens."""
        per_token = self._per_token * (self.cached or self.borrowed)
        if not per_token:
            return 0, 0
        return per_token * work.sequences * seen(self.mask, work), per_token * work.tokens * self.cached

    @property
    def _per_token(self) -> int:
        return self.kv_heads * (self.key_width if self.shared_kv else self.key_width + self.value_width)

    def cache(self) -> Cache:
        """Keys and values (one tensor for both if `shared_kv`)."""
        return Cache(self._per_token, self.mask.window) if self.cached else Cache()


def _core(name: str, width: Number, pairs: Number, square: Number, moved: Number, cached: tuple[Number, Number]) -> Op:
    flops = 2 * width * pairs
    # flash attention's backward is five matmuls for a forward of two: half of this op's forward is rebuilt
    return Op(
        name, "matrix", flops, 2 * width * square, flops, rebuilt=width * pairs, core=True,
        reads=moved, writes=moved, cache_reads=cached[0], cache_writes=cached[1],
    )  # fmt: skip
