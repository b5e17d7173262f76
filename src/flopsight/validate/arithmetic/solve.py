"""Tries every rule on a problem: one that answers, or none, or several that agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flopsight.facts import Unknown
from flopsight.validate.arithmetic import activations, collectives, flops, memory, parameters, roofline
from flopsight.validate.arithmetic.problem import Problem, Rule, problem_of
from flopsight.validate.rows import Row

RULES: Final[tuple[Rule, ...]] = (
    *activations.RULES, *parameters.RULES, *flops.RULES, *memory.RULES, *roofline.RULES, *collectives.RULES,
)  # fmt: skip
EXACT: Final = 0.005
"""Tolerance against the answer that follows without rounding."""
SAME: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Answer:
    """A value with the rule that gave it."""

    value: float
    rule: str
    formula: str


@dataclass(frozen=True, slots=True)
class Solved:
    """One problem with its answers.

    exact       what follows from question and inputs without rounding, as the row says
    published   what the source printed
    tolerance   relative, of the published answer
    """

    row: Row
    answer: Answer | Unknown
    exact: float | None
    published: float | None
    tolerance: float

    @property
    def error(self) -> float | None:
        """ours / exact - 1, against the published answer where there is no exact one."""
        truth = self.exact if self.exact is not None else self.published
        return None if truth is None or isinstance(self.answer, Unknown) else self.answer.value / truth - 1

    @property
    def within(self) -> bool | None:
        """Whether ours is within 0.5 % of the exact answer, or within the tolerance of the published one."""
        if self.error is None:
            return None
        return abs(self.error) <= (EXACT if self.exact is not None else self.tolerance)


def solve(problem: Problem) -> Answer | Unknown:
    """The answer of the rules that recognise the problem; Unknown where none does or two disagree."""
    found = [Answer(value, rule.name, rule.formula) for rule in RULES if (value := _tried(rule, problem)) is not None]
    if not found:
        return Unknown("no rule recognises the question")
    if any(abs(one.value / found[0].value - 1) > SAME for one in found):
        listed = ", ".join(f"{one.rule} {one.value:.4g}" for one in found)
        return Unknown(f"rules disagree: {listed}")
    return found[0]


def _tried(rule: Rule, problem: Problem) -> float | None:
    value = rule.solve(problem)
    return value if value is not None and math.isfinite(value) and value > 0 else None


def solve_all(rows: Sequence[Row]) -> list[Solved]:
    """Every arithmetic row; a question sees the answer of the one numbered before it, if that row is there."""
    done: dict[tuple[str, int], float] = {}
    found = []
    for row in sorted(rows, key=lambda row: (row.group, _number(row))):
        solved = solve_row(row, done.get((row.group, _number(row) - 1)))
        if not isinstance(solved.answer, Unknown):
            done[row.group, _number(row)] = solved.answer.value
        found.append(solved)
    return found


def _number(row: Row) -> int:
    """The number at the end of an id: arith-sb-training-012 -> 12."""
    last = row.id.rpartition("-")[2]
    return int(last) if last.isascii() and last.isdigit() and len(last) < 10 else 0


def solve_row(row: Row, earlier: float | None = None) -> Solved:
    """One arithmetic row."""
    measured, tolerance = row.measured, row.number(row.problem, "tolerance_rel") or EXACT
    return Solved(
        row, solve(problem_of(row, earlier)), _answer(row, measured, "exact_answer"),
        _answer(row, measured, "published_answer"), float(tolerance),
    )  # fmt: skip


def _answer(row: Row, measured: Mapping[str, object], name: str) -> float | None:
    """A number, or None where the answer is absent or in words."""
    value = measured.get(name)
    return None if value is None or isinstance(value, str | list) else row.checked(name, value)
