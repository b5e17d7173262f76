"""Runs every row of a folder and sums the errors up by group and by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flopsight.facts import Unknown
from flopsight.validate.arithmetic.solve import EXACT, Solved, solve_all
from flopsight.validate.predicted.forecast import NOTHING, forecast
from flopsight.validate.recompute import Figure, recompute
from flopsight.validate.rows import KINDS, Row, read_rows
from flopsight.validate.summary import Spread, spread

APART: Final = ("published_issue", "recalled", "quality_b")
TTFT: Final = "ttft"


@dataclass(frozen=True, slots=True)
class Checked:
    """A row with its figures, the main one first, what the source prints for that, and what is predicted."""

    row: Row
    figures: tuple[Figure, ...]
    printed: float | None = None
    predicted: tuple[Figure, ...] = ()

    @property
    def main(self) -> Figure:
        """The figure that the errors are taken of."""
        return self.figures[0]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that came out.

    recompute   utilization from throughput, clean rows by group and "all"; faulty, recalled and second-hand rows apart
    kinds       predictions by kind, clean rows, and apart the others; arithmetic is solved
    """

    folder: str
    checked: tuple[Checked, ...]
    recompute: Mapping[str, Spread]
    kinds: Mapping[str, Spread]


Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """No progress shown."""


def run(folder: str | Path, progress: Progress = _silent) -> Outcome:
    """Check every row of the *.jsonl files of a folder; `progress` hears how many of how many are done."""
    rows = read_rows(folder)
    solved = {one.row.where: _solved(one) for one in solve_all([row for row in rows if row.kind == "arithmetic"])}
    checked = []
    for number, row in enumerate(rows):
        progress(number, len(rows))
        checked.append(solved.get(row.where) or _checked(row))
    return Outcome(str(folder), tuple(checked), _by_group(checked), _by_kind(checked))


def _checked(row: Row) -> Checked:
    predicted = forecast(row)
    if row.kind == "train_mfu":
        figures = recompute(row)
        return Checked(row, figures, figures[0].published, predicted)
    return Checked(row, predicted, predicted[0].published, predicted)


def _solved(one: Solved) -> Checked:
    """A worked problem as a figure: its error is against the exact answer where the row has one."""
    answer, truth = one.answer, one.exact if one.exact is not None else one.published
    unit = one.row.measured.get("unit")
    name = unit if isinstance(unit, str) and unit else "answer"
    tolerance = EXACT if one.exact is not None else one.tolerance
    if isinstance(answer, Unknown):
        return Checked(one.row, (Figure(name, truth, None, tolerance, why=answer.why),), one.published)
    counted = f"{answer.rule}: {answer.formula}"
    main = Figure(name, truth, answer.value, tolerance, counted)
    printed = Figure(f"{name}, as printed", one.published, answer.value, one.tolerance, counted)
    return Checked(one.row, (main, printed) if one.exact and one.published else (main,), one.published)


def _by_group(checked: Iterable[Checked]) -> dict[str, Spread]:
    """Recomputed rows: all clean ones, then by group, then what is kept apart."""
    rows = [one for one in checked if one.row.kind == "train_mfu"]
    clean = [one for one in rows if one.row.set == "clean"]
    found = {"all": _spread(clean)}
    for group in dict.fromkeys(one.row.group for one in clean):
        found[group] = _spread([one for one in clean if one.row.group == group])
    return found | {name: _spread([one for one in rows if one.row.set == name]) for name in APART}


def _by_kind(checked: Iterable[Checked]) -> dict[str, Spread]:
    """Predictions of clean rows; a recomputed utilization is no prediction. Second-hand rows stand apart."""
    rows = list(checked)
    clean = [one for one in rows if one.row.set == "clean"]
    found = {}
    for kind in KINDS:
        same = [one for one in clean if one.row.kind == kind]
        found[kind] = _spread(same) if kind == "arithmetic" else _foretold(same)
    found["serving_ttft"] = _foretold([one for one in clean if one.row.kind == "serving"], TTFT)
    for kind in KINDS:
        apart = [one for one in rows if one.row.kind == kind and one.row.set != "clean"]
        found[f"{kind}_apart"] = _spread(apart) if kind == "arithmetic" else _foretold(apart)
    return found


def _foretold(rows: list[Checked], of: str = "") -> Spread:
    """The main prediction of every row, or the first one of a quantity whose name holds a word."""
    pairs = [(one, next((f for f in one.predicted if of in f.quantity), None)) for one in rows]
    asked = [f for one, f in pairs if f is not None] if of else [f or NOTHING for _, f in pairs]
    errors = [f.error for f in asked if f.error is not None]
    inside = [f.inside for f in asked if f.inside is not None]
    answered = sum(f.ours is not None for f in asked)
    return spread(len(asked), answered, sum(f.within is True for f in asked), errors, inside)


def _spread(rows: list[Checked]) -> Spread:
    errors = [one.main.error for one in rows if one.main.error is not None]
    answered = sum(one.main.ours is not None for one in rows)
    return spread(len(rows), answered, sum(one.main.within is True for one in rows), errors)
