"""The work of calls: counted once a signature, then looked up; for lengths never counted, told from those that were.

Over sequences of one length S, all that a transformer does is a sum of terms in 1, T and T·S (T tokens); one token
more in the cache adds the same each time, until a window is full. What counts have foretold once is told from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from flopsight.counted import Counted, Flops

if TYPE_CHECKING:
    from flopsight.meter.signature import Key, Shape

CLOSE: Final = 1e-3
"""How near a foretold count must come to the one that is counted."""
MOST: Final = 4096
AGAIN: Final = 64
"""A line in the cached tokens is trusted up to twice the length at which it was last seen to hold, and so many more."""
Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What one call (with its backward pass, where it had one) does on this rank.

    bytes       that its ops read and wrote, each tensor once an op
    products    bytes that its products and attention read and wrote: weights, cache, activations
    dtype       the format of most of its products
    floor       seconds below which no call gets: op by op the longer of FLOPs / peak and bytes / bandwidth; None
                without a peak
    """

    flops: Flops
    bytes: int
    products: int
    dtype: str
    floor: float | None = None
    uncounted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def work_of(counted: Counted) -> Work:
    """From a count, without a floor."""
    total = counted.total
    products = sum(row.amount.bytes.total for row in counted.rows if row.engine == "matrix")
    missing = tuple(sorted({missed.op for missed in counted.uncounted}))
    return Work(
        total.flops, total.bytes.total, products, format_of(counted), None, missing, counted.notes
    )  # fmt: skip


def format_of(counted: Counted) -> str:
    """The number format of most executed FLOPs."""
    found: dict[str, int] = {}
    for row in counted.rows:
        found[row.dtype] = found.get(row.dtype, 0) + row.amount.flops.executed
    return max(found, key=lambda name: found[name], default="")


def floor_of(counted: Counted, peak: float, bandwidth: float) -> float:
    """The roofline of every op, added up: fused kernels may move less, and nothing computes faster."""
    return sum(max(r.amount.flops.executed / peak, r.amount.bytes.total / bandwidth) for r in counted.rows)


@dataclass(slots=True)
class Line:
    """Works by tokens in the cache, at one batch: the last two that were counted, and up to where they are trusted."""

    first: tuple[int, Work]
    last: tuple[int, Work] | None = None
    trusted: int = 0

    def at(self, past: int) -> Work | None:
        """The work behind so many tokens; None before two were counted."""
        if self.last is None:
            return None
        (x0, w0), (x1, w1) = self.first, self.last
        share = Fraction(past - x0, x1 - x0)
        pairs = zip(_numbers(w0), _numbers(w1), strict=True)
        return _made(tuple(float(a + (b - a) * share) for a, b in pairs), w1)

    def add(self, past: int, work: Work) -> None:
        """Keep a count."""
        told = self.at(past)
        if told is not None and _near(told, work):
            self.trusted = 2 * past + AGAIN
        if self.last is not None and past != self.last[0]:
            self.first = self.last
        if past != self.first[0]:
            self.last = past, work


@dataclass(slots=True)
class Works:
    """All works known so far."""

    known: dict[Key, Work] = field(default_factory=dict)
    _lines: dict[Key, Line] = field(default_factory=dict)
    _plain: dict[Key, list[tuple[Shape, Work]]] = field(default_factory=dict)
    _trusted: set[Key] = field(default_factory=set)

    def add(self, key: Key, form: Key, shape: Shape | None, work: Work) -> None:
        """Keep a count, and see whether those before it would have foretold it."""
        if len(self.known) < MOST:
            self.known[key] = work
        if shape is None:
            return
        if shape.past:
            place = (form, shape.sequences, shape.length)
            if place in self._lines:
                self._lines[place].add(shape.past, work)
            else:
                self._lines[place] = Line((shape.past, work))
            return
        told = _fitted(self._plain.get(form, []), shape)
        if told is not None:
            (self._trusted.add if _near(told, work) else self._trusted.discard)(form)
        self._plain.setdefault(form, []).append((shape, work))

    def find(self, key: Key, form: Key, shape: Shape | None) -> Work | None:
        """The work of a call, if it is known or can be told."""
        found = self.known.get(key)
        if found is not None or shape is None:
            return found
        if shape.past:
            line = self._lines.get((form, shape.sequences, shape.length))
            return line.at(shape.past) if line is not None and shape.past <= line.trusted else None
        if form not in self._trusted:
            return None
        told = _fitted(self._plain[form], shape)
        if told is not None and len(self.known) < MOST:
            self.known[key] = told
        return told


def _fitted(rows: list[tuple[Shape, Work]], shape: Shape) -> Work | None:
    """From counts at other lengths; None where these leave a direction open."""
    if len(rows) < 2:
        return None
    terms = np.array([_terms(s) for s, _ in rows], dtype=float)
    scale = np.maximum(np.abs(terms).max(axis=0), 1)
    solution, _, rank, _ = np.linalg.lstsq(terms / scale, np.array([_numbers(w) for _, w in rows]), rcond=1e-9)
    wanted = np.array(_terms(shape), dtype=float) / scale
    if np.linalg.matrix_rank(np.vstack([terms / scale, wanted]), tol=1e-7) > rank:
        return None
    return _made(tuple(wanted @ solution), rows[0][1])


def _terms(shape: Shape) -> tuple[int, int, int]:
    return 1, shape.tokens, shape.tokens * shape.length


def _numbers(work: Work) -> Numbers:
    f = work.flops
    return f.required, f.full_square, f.executed, work.bytes, work.products, work.floor or 0.0


def _made(numbers: Numbers, like: Work) -> Work:
    required, square, executed, moved, products, floor = numbers
    flops = Flops(round(required), round(square), round(executed))
    seconds = None if like.floor is None else float(floor)
    return Work(flops, round(moved), round(products), like.dtype, seconds, like.uncounted, like.notes)


def _near(told: Work, work: Work) -> bool:
    pairs = zip(_numbers(told)[:5], _numbers(work)[:5], strict=True)
    return all(abs(a - b) <= CLOSE * max(abs(b), 1) for a, b in pairs)
