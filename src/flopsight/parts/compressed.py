"""Attention over a window and over compressed entries of everything before it (DeepSeek-V4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op
from flopsight.expr import Number, minimum
from flopsight.parts.masks import Window
from flopsight.parts.part import Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class Entries:
    """One entry for every `rate` closed tokens; a query at position p sees min((p+1)//m, K) of them.

    m rate, K `top`, or all of them if `top` is 0.
    """

    rate: int
    top: int = 0
    label: ClassVar[str] = "compressed"
    window: ClassVar[int | None] = None

    def area(self, n: Number) -> Number:
        """m·q(q-1)/2 + q·(r+1) with n' = min(n, m·K) = q·m + r, then K for each of the n - n' later tokens."""
        capped = minimum(n, self.rate * self.top) if self.top else n
        whole = capped // self.rate
        rest = capped - whole * self.rate
        seen = self.rate * (whole * (whole - 1) // 2) + whole * (rest + 1)
        return seen + (n - capped) * self.top if self.top else seen

    def pairs(self, work: Work) -> Number:
        """area(P+S) - area(P)."""
        return self.area(work.past + work.queries) - self.area(work.past)

    def square(self, work: Work) -> Number:
        """S·((P+S)//m)."""
        return work.queries * ((work.past + work.queries) // self.rate)


@dataclass(frozen=True, slots=True)
class WindowAndEntries:
    """The last `size` tokens and, where there is a compressor, `entries` of what lies before."""

    size: int
    entries: Entries | None
    label: ClassVar[str] = "window and compressed"

    @property
    def window(self) -> int:
        """Uncompressed tokens stay no longer than the window."""
        return self.size

    def pairs(self, work: Work) -> Number:
        """Window and entries added."""
        pairs = Window(self.size).pairs(work)
        return pairs + self.entries.pairs(work) if self.entries else pairs

    def square(self, work: Work) -> Number:
        """S·(P+S) and S·((P+S)//m)."""
        square = Window(self.size).square(work)
        return square + self.entries.square(work) if self.entries else square


@dataclass(frozen=True, slots=True)
class Pooling:
    """The compressor's learned position bias, and the gated average it enters.

        7·T·c·e vector FLOPs     c·e gate values a token: bias, softmax over the closed tokens, weighted sum

    m rate, e entry width, c series (two where neighbouring entries overlap). Cached: the entries, e/m values a
    token, and the values and gates of the tokens whose entry is still open. Each step reads the entries there are,
    at most `top` a query where an indexer picks them.
    """

    rate: int
    width: int
    series: int = 1
    top: int = 0
    cached: bool = True
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"rate": "m", "width": "e", "series": "c"}

    def tensors(self) -> Iterator[Tensor]:
        """[m, c·e], named by its place in the tree."""
        yield Tensor("", (self.rate, self.series * self.width))

    def ops(self, work: Work) -> Iterator[Op]:
        """Softmax and sum over the tokens of an entry."""
        gates = work.tokens * self.series * self.width
        kept = self.width * self.cached * work.sequences
        closed = (work.past + work.queries) // self.rate - work.past // self.rate
        read = work.past // self.rate
        read = minimum(read, self.top * work.queries) if self.top else read
        yield Op(
            "pool",
            "vector",
            7 * gates,
            0,
            7 * gates,
            reads=2 * gates,
            cache_reads=kept * read,
            cache_writes=kept * closed,
        )

    def cache(self) -> Cache:
        """Entries that grow with the context, and the open window."""
        if not self.cached:
            return Cache(fixed=2 * self.rate * self.series * self.width)
        return Cache(-(-self.width // self.rate), fixed=2 * self.rate * self.series * self.width)
