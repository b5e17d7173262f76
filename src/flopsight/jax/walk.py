"""The walk over a jaxpr: facts forwards, needs backwards, then the work of every equation whose result is read.

Each (jaxpr, facts, needs) is walked once, however often the program calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flopsight.jax import names
from flopsight.jax.bodies import Body, Choices, body_of
from flopsight.jax.equation import tally_equation
from flopsight.jax.fact import GRADIENT, UNKNOWN, Fact, read
from flopsight.jax.learn import learn
from flopsight.jax.need import ALL, NOTHING, Need, either, needs
from flopsight.jax.tally import Tally
from flopsight.jax.traffic import spread

Known = dict[Any, Fact]
Wanted = dict[Any, Need]


class Walking:
    """One count: what was walked already, and what was taken for granted."""

    def __init__(self, choices: Choices) -> None:
        self.choices: Final = choices
        self.notes: dict[str, None] = {}
        self._opened: dict[int, tuple[Any, Any, tuple[Fact, ...]]] = {}
        self._bodies: dict[int, tuple[Any, Body | None]] = {}
        self._learned: dict[Any, tuple[Known, tuple[Fact, ...]]] = {}
        self._needed: dict[Any, tuple[Wanted, tuple[Need, ...]]] = {}
        self._worked: dict[Any, Tally] = {}
        self._stacks: dict[int, tuple[Any, str, int]] = {}

    def note(self, text: str) -> None:
        """Say what was taken for granted, once."""
        self.notes[text] = None

    def learn(self, jaxpr: Any, facts: Sequence[Fact]) -> tuple[Known, tuple[Fact, ...]]:
        """What is known of every variable (the rest is unknown), and of the results."""
        key = (id(jaxpr), tuple(facts))
        if key not in self._learned:
            opened, consts = self._open(jaxpr)
            known = _bound(opened.constvars, consts) | _bound(opened.invars, facts)
            for eqn in opened.eqns:
                self._learn(eqn, known)
            self._learned[key] = known, tuple(_fact(var, known) for var in opened.outvars)
        return self._learned[key]

    def needs(self, jaxpr: Any, facts: Sequence[Fact], wanted: Sequence[Need]) -> tuple[Need, ...]:
        """What is needed of each operand."""
        return self._needs(jaxpr, facts, wanted)[1]

    def work(self, jaxpr: Any, facts: Sequence[Fact], wanted: Sequence[Need]) -> Tally:
        """The work of running it once."""
        key = (id(jaxpr), tuple(facts), tuple(wanted))
        if key not in self._worked:
            known = self.learn(jaxpr, facts)[0]
            need = self._needs(jaxpr, facts, wanted)[0]
            self._worked[key] = self._work(self._open(jaxpr)[0], known, need)
        return self._worked[key]

    def _learn(self, eqn: Any, known: Known) -> None:
        facts = [_fact(var, known) for var in eqn.invars]
        body = self._body(eqn)
        if body is not None:
            found = body.learn(self, facts)
        elif len(eqn.outvars) == 1:
            found = (learn(eqn, facts),)
        else:
            found = (GRADIENT if any(fact.gradient for fact in facts) else UNKNOWN,) * len(eqn.outvars)
        backward = self._place(eqn)[1] == names.BACKWARD
        for var, fact in zip(eqn.outvars, found, strict=True):
            if backward or fact is not UNKNOWN:
                known[var] = fact.tainted() if backward else fact

    def _needs(self, jaxpr: Any, facts: Sequence[Fact], wanted: Sequence[Need]) -> tuple[Wanted, tuple[Need, ...]]:
        key = (id(jaxpr), tuple(facts), tuple(wanted))
        if key not in self._needed:
            opened, _ = self._open(jaxpr)
            known = self.learn(jaxpr, facts)[0]
            need: Wanted = {}
            for var, asked in zip(opened.outvars, wanted, strict=True):
                _ask(need, var, asked)
            for eqn in reversed(opened.eqns):
                self._need(eqn, known, need)
            self._needed[key] = need, tuple(need.get(var, NOTHING) for var in opened.invars)
        return self._needed[key]

    def _need(self, eqn: Any, known: Known, need: Wanted) -> None:
        asked = [need.get(var, NOTHING) for var in eqn.outvars]
        if eqn.effects:
            asked = [ALL] * len(asked)
        elif all(one is NOTHING for one in asked):
            return
        facts = [_fact(var, known) for var in eqn.invars]
        body = self._body(eqn)
        if body is not None:
            found = body.needs(self, facts, asked)
        elif len(asked) == 1:
            found = needs(eqn, facts, asked[0])
        else:
            found = (ALL,) * len(facts)
        for var, one in zip(eqn.invars, found, strict=True):
            _ask(need, var, one)

    def _work(self, jaxpr: Any, known: Known, need: Wanted) -> Tally:
        tally = Tally()
        stored: dict[Any, int] = {}
        for eqn in jaxpr.eqns:
            if not eqn.effects and all(need.get(var, NOTHING) is NOTHING for var in eqn.outvars):
                continue
            path, rank = self._place(eqn)
            facts = [_fact(var, known) for var in eqn.invars]
            if rank == names.PLAIN and any(fact.gradient for fact in facts):
                rank = names.AFTER_GRADIENT
            asked = [ALL if eqn.effects else need.get(var, NOTHING) for var in eqn.outvars]
            tally_equation(self, eqn, self._body(eqn), facts, asked, tally, (path, rank), stored)
            behind = spread(eqn, stored)
            if behind is not None:
                stored[eqn.outvars[0]] = behind
        return tally

    def _open(self, jaxpr: Any) -> tuple[Any, tuple[Fact, ...]]:
        """The open jaxpr of an open or closed one, and what is known of its constants."""
        if id(jaxpr) not in self._opened:
            # the jaxpr itself is kept, so that its id stays its own
            closed = type(jaxpr).__name__ == "ClosedJaxpr"
            consts = tuple(read(value) for value in jaxpr.consts) if closed else ()
            self._opened[id(jaxpr)] = jaxpr, jaxpr.jaxpr if closed else jaxpr, consts
        return self._opened[id(jaxpr)][1:]

    def _body(self, eqn: Any) -> Body | None:
        if id(eqn) not in self._bodies:
            self._bodies[id(eqn)] = eqn, body_of(eqn)
        return self._bodies[id(eqn)][1]

    def _place(self, eqn: Any) -> tuple[str, int]:
        stack = eqn.source_info.name_stack
        if id(stack) not in self._stacks:
            text = str(stack)
            self._stacks[id(stack)] = stack, names.path(text), names.rank(text)
        return self._stacks[id(stack)][1:]


def _bound(variables: Sequence[Any], facts: Sequence[Fact]) -> Known:
    return {var: fact for var, fact in zip(variables, facts, strict=False) if fact is not UNKNOWN}


def _fact(var: Any, known: Known) -> Fact:
    return read(var.val) if type(var).__name__ == "Literal" else known.get(var, UNKNOWN)


def _ask(need: Wanted, var: Any, asked: Need) -> None:
    if type(var).__name__ != "Literal" and asked is not NOTHING:
        need[var] = either(need.get(var, NOTHING), asked)
