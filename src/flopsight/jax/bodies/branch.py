"""cond and switch: one branch runs; which one depends on a value, unless that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from flopsight.jax.bodies.body import Walk
from flopsight.jax.fact import Fact, join
from flopsight.jax.need import ALL, Need, either
from flopsight.jax.tally import Tally


@dataclass(frozen=True, slots=True)
class Branch:
    """Operands are the branch's number, then those of every branch."""

    branches: tuple[Any, ...]

    def learn(self, walk: Walk, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        """What is true of the results of each branch."""
        results = [walk.learn(branch, facts[1:])[1] for branch in self._possible(facts)]
        return tuple(reduce(join, column) for column in zip(*results, strict=True))

    def needs(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need]) -> tuple[Need, ...]:
        """What any branch needs."""
        inner = [walk.needs(branch, facts[1:], wanted) for branch in self._possible(facts)]
        return (ALL, *(reduce(either, column) for column in zip(*inner, strict=True)))

    def work(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need], path: str) -> list[tuple[Tally, int]]:
        """The branch that is known to run, else by the caller's choice."""
        tallies = [walk.work(branch, facts[1:], wanted) for branch in self._possible(facts)]
        if len({tally.executed[0] for tally in tallies}) > 1:
            where = f" in {path}" if path else ""
            taken = "the one that does most" if walk.choices.branches == "max" else "their mean"
            walk.note(f"which branch of a conditional{where} runs depends on a value: {taken} was taken")
        if walk.choices.branches == "mean":
            return [(_mean(tallies), 1)]
        return [(max(tallies, key=lambda tally: tally.executed), 1)]

    def _possible(self, facts: Sequence[Fact]) -> tuple[Any, ...]:
        which = facts[0].value
        if which is None:
            return self.branches
        return (self.branches[min(max(int(which), 0), len(self.branches) - 1)],)


def branch(eqn: Any) -> Branch:
    """From the equation."""
    return Branch(tuple(eqn.params["branches"]))


def _mean(tallies: Sequence[Tally]) -> Tally:
    """Every amount of all branches over their number, rounded down; one call stays one."""
    total = Tally()
    for tally in tallies:
        total.include(tally, "", 0, 1)
    for key, (calls, *amounts) in total.rows.items():
        total.rows[key] = [-(-calls // len(tallies)), *(amount // len(tallies) for amount in amounts)]
    return total
