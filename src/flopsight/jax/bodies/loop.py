"""while: the body runs as often as its condition says, where that can be read; else as often as the caller says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopsight.jax.bodies.body import Walk
from flopsight.jax.bodies.trips import Loop, trips
from flopsight.jax.fact import Fact, join
from flopsight.jax.need import ALL, NOTHING, Need, either
from flopsight.jax.tally import Tally


@dataclass(frozen=True, slots=True)
class While:
    """Operands are the condition's constants, the body's, and the carry; results are the carry."""

    cond: Any
    body: Any
    cond_consts: int
    body_consts: int

    def learn(self, walk: Walk, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        """What stays true of the carry."""
        return tuple(self._steady(walk, facts))

    def needs(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need]) -> tuple[Need, ...]:
        """What the condition reads is always needed."""
        carry = self._steady(walk, facts)
        asked = walk.needs(self.cond, [*self._first(facts), *carry], [ALL])
        needed = self._wanted(walk, facts, wanted)
        inner = walk.needs(self.body, [*self._second(facts), *carry], needed)
        return (*asked[: self.cond_consts], *inner[: self.body_consts], *needed)

    def work(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need], path: str) -> list[tuple[Tally, int]]:
        """The body once a round, the condition once more."""
        carry = self._steady(walk, facts)
        rounds = self._rounds(walk, facts, carry, path)
        asked = walk.work(self.cond, [*self._first(facts), *carry], [ALL])
        done = walk.work(self.body, [*self._second(facts), *carry], self._wanted(walk, facts, wanted))
        return [(asked, rounds + 1), (done, rounds)]

    def _rounds(self, walk: Walk, facts: Sequence[Fact], carry: list[Fact], path: str) -> int:
        start = facts[self.cond_consts + self.body_consts :]
        known = walk.learn(self.cond, [*self._first(facts), *carry])[0]
        found = trips(Loop(self.cond, self.body, self.cond_consts, self.body_consts, tuple(start)), known)
        if found is not None and found.exact:
            return found.rounds
        said = _said(walk.choices.trips, path)
        if said is not None:
            return said
        where = f" in {path}" if path else ""
        if found is not None:
            walk.note(f"a while loop{where} may end early: the {found.rounds} rounds it is limited to were taken")
            return found.rounds
        walk.note(
            f"the rounds of a while loop{where} depend on values: its body was counted once; say how many with trips="
        )
        return 1

    def _steady(self, walk: Walk, facts: Sequence[Fact]) -> list[Fact]:
        carry = list(facts[self.cond_consts + self.body_consts :])
        while True:
            outs = walk.learn(self.body, [*self._second(facts), *carry])[1]
            then = [join(a, b) for a, b in zip(carry, outs, strict=True)]
            if then == carry:
                return carry
            carry = then

    def _wanted(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need]) -> list[Need]:
        steady = self._steady(walk, facts)
        asked = walk.needs(self.cond, [*self._first(facts), *steady], [ALL])[self.cond_consts :]
        carry = [_whole(either(a, b)) for a, b in zip(wanted, asked, strict=True)]
        while True:
            back = walk.needs(self.body, [*self._second(facts), *steady], carry)[self.body_consts :]
            then = [_whole(either(a, b)) for a, b in zip(carry, back, strict=True)]
            if then == carry:
                return carry
            carry = then

    def _first(self, facts: Sequence[Fact]) -> Sequence[Fact]:
        return facts[: self.cond_consts]

    def _second(self, facts: Sequence[Fact]) -> Sequence[Fact]:
        return facts[self.cond_consts : self.cond_consts + self.body_consts]


def while_loop(eqn: Any) -> While:
    """From the equation."""
    params = eqn.params
    return While(params["cond_jaxpr"], params["body_jaxpr"], params["cond_nconsts"], params["body_nconsts"])


def _said(given: int | Mapping[str, int] | None, path: str) -> int | None:
    """The caller's number for the innermost scope that is named, else for all."""
    if not isinstance(given, Mapping):
        return given
    scopes = path.split(".") if path else []
    whole = [".".join(scopes[:end]) for end in range(len(scopes), 0, -1)]
    return next((given[name] for name in (*whole, *reversed(scopes), "") if name in given), None)


def _whole(need: Need) -> Need:
    return need if need is NOTHING else ALL
