"""The time mixing of RWKV: an average with decay (version 4), then a matrix state a head (version 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flopsight.cost import Op, elementwise
from flopsight.expr import minimum
from flopsight.parts.part import Cache, Tensor
from flopsight.parts.recurrence import Forms, scan
from flopsight.workload import Work


def _kept(work: Work, values: int) -> dict[str, Any]:
    state = work.sequences * values
    return {"cache_reads": state * minimum(work.past, 1), "cache_writes": state}


@dataclass(frozen=True, slots=True)
class Wkv4:
    """A weighted average of values with decay, channel by channel; no contraction at all.

        vector: 21·T·w      four exponentials, two maxima, numerator, denominator, division

    w channels. Peng et al. 2023, arXiv 2305.13048, section 3.1.2. Kept: 3·w values (numerator, denominator, maximum).
    """

    width: int
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"width": "w"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the decay and the bonus of the current token are parameters beside it."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """One vector op."""
        values = work.tokens * self.width
        yield Op(
            "average", "vector", 21 * values, 0, 21 * values, reads=2 * values, writes=values,
            **_kept(work, 3 * self.width),
        )  # fmt: skip

    def cache(self) -> Cache:
        """Numerator, denominator, running maximum."""
        return Cache(fixed=3 * self.width)


@dataclass(frozen=True, slots=True)
class Wkv5:
    """S = diag(a)·S + k outer v, y = r·(S + diag(u)·(k outer v)), on H heads with a state of e x e.

        4·T·H·e² FLOPs      update and read; vector: decay H·e², bonus 4·H·e a token

    H heads, e head width. Peng et al. 2024, arXiv 2404.05892, section 4.1. The bonus is r·(u·k) times v, a vector
    operation. The published kernel runs the recurrence as it stands. Kept: H·e² values.
    """

    heads: int
    width: int
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"heads": "H", "width": "e"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the decay and the bonus are parameters beside it."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """The recurrence, decay and bonus."""
        inner = self.heads * self.width
        step = 4 * work.tokens * self.cache().fixed
        yield scan("recurrence", work, Forms(step, step, step), (3 * inner, inner), self.cache().fixed)
        yield elementwise("decay", work.tokens * self.cache().fixed, 1, inputs=0, outputs=0)
        yield elementwise("bonus", work.tokens * inner, 4, inputs=0, outputs=0)

    def cache(self) -> Cache:
        """The state."""
        return Cache(fixed=self.heads * self.width * self.width)


@dataclass(frozen=True, slots=True)
class TokenShift:
    """Mixes every token with the one before it, once for each of m learned weight vectors.

        vector: 3·T·d·m

    d width. Kept: the d values of the last token.
    """

    width: int
    mixes: int
    kind: str = "attention"

    letters: ClassVar[dict[str, str]] = {"width": "d", "mixes": "m"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the weight vectors are parameters beside it."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """One vector op."""
        values = work.tokens * self.width
        flops = 3 * self.mixes * values
        yield Op(
            "shift", "vector", flops, 0, flops, reads=values, writes=self.mixes * values,
            **_kept(work, self.width),
        )  # fmt: skip

    def cache(self) -> Cache:
        """The last token."""
        return Cache(fixed=self.width)
