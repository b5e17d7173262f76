"""How many query-key pairs a mask lets through.

A query at position p (from 0) sees keys 0..p under a causal mask. `area(n)` is the number of pairs of the first n
positions, so S queries behind P cached tokens cost area(P + S) - area(P), and any split into steps or chunks sums
to the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from flopsight.expr import Number, minimum, where
from flopsight.workload import Work


class Mask(Protocol):
    """Which keys a query may see."""

    label: ClassVar[str]

    def pairs(self, work: Work) -> Number:
        """Query-key pairs of one sequence that the mask lets through."""
        ...

    def square(self, work: Work) -> Number:
        """Query-key pairs of one sequence in the whole score matrix."""
        ...

    @property
    def window(self) -> int | None:
        """Tokens after which the cache stops growing, or None."""
        ...


def _whole(work: Work) -> Number:
    return work.queries * (work.past + work.queries)


def _triangle(n: Number) -> Number:
    return n * (n + 1) // 2


@dataclass(frozen=True, slots=True)
class Causal:
    """Every earlier token and itself: S·P + S(S+1)/2 pairs."""

    label: ClassVar[str] = "causal"
    window: ClassVar[int | None] = None

    def pairs(self, work: Work) -> Number:
        """S·P + S·(S+1)/2."""
        s = work.queries
        return s * work.past + _triangle(s)

    def square(self, work: Work) -> Number:
        """S·(P+S)."""
        return _whole(work)


@dataclass(frozen=True, slots=True)
class Window:
    """The last `window` tokens, itself included: sum of min(p+1, W)."""

    window: int
    label: ClassVar[str] = "window"

    def area(self, n: Number) -> Number:
        """m(m+1)/2 + (n-m)·W with m = min(n, W)."""
        m = minimum(n, self.window)
        return _triangle(m) + (n - m) * self.window

    def pairs(self, work: Work) -> Number:
        """area(P+S) - area(P)."""
        return self.area(work.past + work.queries) - self.area(work.past)

    def square(self, work: Work) -> Number:
        """S·(P+S)."""
        return _whole(work)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Causal inside chunks of `chunk` tokens (Llama 4): positions of other chunks are not seen."""

    chunk: int
    label: ClassVar[str] = "chunk"

    @property
    def window(self) -> int | None:
        """The cache never needs more than one chunk."""
        return self.chunk

    def area(self, n: Number) -> Number:
        """q·C(C+1)/2 + r(r+1)/2 with n = q·C + r."""
        whole = n // self.chunk
        return whole * (self.chunk * (self.chunk + 1) // 2) + _triangle(n - whole * self.chunk)

    def pairs(self, work: Work) -> Number:
        """area(P+S) - area(P)."""
        return self.area(work.past + work.queries) - self.area(work.past)

    def square(self, work: Work) -> Number:
        """S·(P+S)."""
        return _whole(work)


@dataclass(frozen=True, slots=True)
class TopK:
    """The `top` keys an indexer selects among the earlier ones (sparse attention): min(p+1, top) each.

    Unlike a window, every token stays cached.
    """

    top: int
    label: ClassVar[str] = "top-k"
    window: ClassVar[int | None] = None

    def pairs(self, work: Work) -> Number:
        """As a window of `top` tokens."""
        return Window(self.top).pairs(work)

    def square(self, work: Work) -> Number:
        """S·(P+S)."""
        return _whole(work)


@dataclass(frozen=True, slots=True)
class TopBlocks:
    """The `top` blocks of `block` keys an indexer selects, the query's own block always among them (MiniMax M3).

    A query at place r of its block sees r+1 keys of it and every key of min(q, top-1) earlier blocks, q of them.
    """

    block: int
    top: int
    label: ClassVar[str] = "top blocks"
    window: ClassVar[int | None] = None

    def area(self, n: Number) -> Number:
        """Full blocks first: sum over q of C·C·min(q, K-1) + C(C+1)/2, then the r queries of the last block."""
        size, others = self.block, self.top - 1
        whole = n // size
        rest = n - whole * size
        few = minimum(whole, others)
        seen = few * (few - 1) // 2 + (whole - few) * others
        own = whole * (size * (size + 1) // 2) + rest * (rest + 1) // 2
        return size * size * seen + own + rest * size * few

    def pairs(self, work: Work) -> Number:
        """area(P+S) - area(P)."""
        return self.area(work.past + work.queries) - self.area(work.past)

    def square(self, work: Work) -> Number:
        """S·(P+S)."""
        return _whole(work)


@dataclass(frozen=True, slots=True)
class Full:
    """Every token sees every token of its sequence: encoders and vision towers."""

    label: ClassVar[str] = "full"
    window: ClassVar[int | None] = None

    def pairs(self, work: Work) -> Number:
        """S·(P+S)."""
        return _whole(work)

    def square(self, work: Work) -> Number:
        """S·(P+S)."""
        return _whole(work)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt whose tokens see each other both ways, and behind it the last `window` tokens (PaliGemma 2)."""

    window: int
    label: ClassVar[str] = "prompt"

    def pairs(self, work: Work) -> Number:
        """S·S for a prompt; behind a cache as a window."""
        return where(work.past, 0, work.queries * work.queries, Window(self.window).pairs(work))

    def square(self, work: Work) -> Number:
        """S·(P+S)."""
        return _whole(work)


@dataclass(frozen=True, slots=True)
class Both:
    """Tokens at most `reach` away on either side of itself (local attention of an encoder)."""

    reach: int
    label: ClassVar[str] = "local"
    window: ClassVar[int | None] = None

    def pairs(self, work: Work) -> Number:
        """2·area(S) - S for a causal window of reach+1 tokens: each side, itself once."""
        one = Window(self.reach + 1)
        return 2 * one.area(work.queries) - work.queries

    def square(self, work: Work) -> Number:
        """S·(P+S)."""
        return _whole(work)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Full attention inside blocks of `block` tokens (window attention of a vision tower)."""

    block: int
    label: ClassVar[str] = "block"
    window: ClassVar[int | None] = None

    def pairs(self, work: Work) -> Number:
        """q·b² + r² with S = q·b + r."""
        whole = work.queries // self.block
        rest = work.queries - whole * self.block
        return whole * self.block * self.block + rest * rest

    def square(self, work: Work) -> Number:
        """S·(P+S)."""
        return _whole(work)


@dataclass(frozen=True, slots=True)
class Cross:
    """Every query sees all K tokens of the other side."""

    label: ClassVar[str] = "cross"
    window: ClassVar[int | None] = None

    def pairs(self, work: Work) -> Number:
        """S·K."""
        return work.queries * work.keys

    def square(self, work: Work) -> Number:
        """S·K."""
        return work.queries * work.keys


def seen(mask: Mask, work: Work) -> Number:
    """Cached tokens of one sequence that are read: the window, those an indexer chose for each query, or all."""
    if isinstance(mask, TopK):
        return minimum(work.past, mask.top * work.queries)
    if isinstance(mask, TopBlocks):
        return minimum(work.past, mask.block * mask.top * work.queries)
    return work.past if mask.window is None else minimum(work.past, mask.window)
