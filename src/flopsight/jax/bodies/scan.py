"""scan: the body runs `length` times; fori_loop with known bounds is a scan too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flopsight.jax.band import Band
from flopsight.jax.bodies.body import Walk
from flopsight.jax.fact import GRADIENT, UNKNOWN, Fact, banded, constant, join
from flopsight.jax.need import ALL, NOTHING, Need, either
from flopsight.jax.tally import Tally


@dataclass(frozen=True, slots=True)
class Scan:
    """Operands are constants, carry, slices; results are carry, stacked slices."""

    jaxpr: Any
    length: int
    consts: int
    carries: int

    def learn(self, walk: Walk, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        """What stays true of the carry from round to round, and of each slice."""
        given, carry = self._steady(walk, facts)
        outs = walk.learn(self.jaxpr, given)[1]
        return (*carry, *(_moved(fact, 1) for fact in outs[self.carries :]))

    def needs(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need]) -> tuple[Need, ...]:
        """A carry is needed if its last value or any later round needs it."""
        given, _ = self._steady(walk, facts)
        inner = walk.needs(self.jaxpr, given, self._wanted(walk, given, wanted))
        consts = inner[: self.consts]
        rest = inner[self.consts :]
        carry = [_whole(need) for need in rest[: self.carries]]
        return (*consts, *carry, *(_need_moved(need, 1) for need in rest[self.carries :]))

    def work(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need], path: str) -> list[tuple[Tally, int]]:
        """`length` times."""
        del path
        given, _ = self._steady(walk, facts)
        return [(walk.work(self.jaxpr, given, self._wanted(walk, given, wanted)), self.length)]

    def _steady(self, walk: Walk, facts: Sequence[Fact]) -> tuple[list[Fact], list[Fact]]:
        """(facts about the body's operands in every round, those about the carry)."""
        consts = list(facts[: self.consts])
        carry = list(facts[self.consts : self.consts + self.carries])
        slices = [_moved(fact, -1) for fact in facts[self.consts + self.carries :]]
        while True:
            outs = walk.learn(self.jaxpr, [*consts, *carry, *slices])[1]
            then = [join(a, b) for a, b in zip(carry, outs[: self.carries], strict=True)]
            if then == carry:
                return [*consts, *carry, *slices], carry
            carry = then

    def _wanted(self, walk: Walk, given: Sequence[Fact], wanted: Sequence[Need]) -> list[Need]:
        """What is needed of the body's results in some round."""
        carry = [_whole(need) for need in wanted[: self.carries]]
        slices = [_need_moved(need, -1) for need in wanted[self.carries :]]
        while True:
            inner = walk.needs(self.jaxpr, given, [*carry, *slices])
            back = inner[self.consts : self.consts + self.carries]
            then = [_whole(either(a, b)) for a, b in zip(carry, back, strict=True)]
            if then == carry:
                return [*carry, *slices]
            carry = then


def scan(eqn: Any) -> Scan:
    """From the equation."""
    params = eqn.params
    return Scan(params["jaxpr"], int(params["length"]), params["num_consts"], params["num_carry"])


def _moved(fact: Fact, by: int) -> Fact:
    """A fact about a slice, of the stack (+1), or the other way round (-1)."""
    if fact.index is not None or (fact.band is not None and min(fact.band.row, fact.band.column) + by < 0):
        return GRADIENT if fact.gradient else UNKNOWN
    if fact.band is None:
        kept = constant(fact.value)
    else:
        band = fact.band.moved({d: d + by for d in (fact.band.row, fact.band.column)})
        kept = banded(band, fact.inside, fact.outside)
    return kept.tainted() if fact.gradient else kept


def _need_moved(need: Need, by: int) -> Need:
    if not isinstance(need, Band):
        return need
    if min(need.row, need.column) + by < 0:
        return ALL
    return need.moved({d: d + by for d in (need.row, need.column)}) or ALL


def _whole(need: Need) -> Need:
    return need if need is NOTHING else ALL
