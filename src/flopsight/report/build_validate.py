"""From checked rows to the answer of `validate`."""

from __future__ import annotations

from typing import Final

from flopsight.report.validate import Errors, EvidenceRow, FigureRow, ValidateResult
from flopsight.validate.recompute import Figure
from flopsight.validate.run import Checked, Outcome
from flopsight.validate.summary import Spread

TOLERANCE: Final = (
    "0.5 % and what rounding allows, half a unit of the last printed digit of the numbers on both sides; worked "
    "problems 0.5 % of the answer without rounding; predictions 25 %. Errors are |ours / published - 1|; p90 is the "
    "nearest rank; coverage is the share of published numbers inside the 90 % interval."
)
PARTS: Final = {"train_mfu": "recompute", "arithmetic": "arithmetic"}


def build(outcome: Outcome) -> ValidateResult:
    """Everything `validate` says of a folder of measurements."""
    return ValidateResult(
        folder=outcome.folder, tolerance=TOLERANCE, rows=[_row(one) for one in outcome.checked],
        recompute={name: _errors(one) for name, one in outcome.recompute.items()},
        kinds={name: _errors(one) for name, one in outcome.kinds.items()},
        next=f"flopsight validate {outcome.folder} --json",
    )  # fmt: skip


def _errors(s: Spread) -> Errors:
    return Errors(
        rows=s.rows, answered=s.answered, compared=s.compared, within=s.within, median_abs_rel_error=s.median,
        p90_abs_rel_error=s.p90, max_abs_rel_error=s.most, mean_abs_rel_error=s.mean, interval_coverage=s.covered,
    )  # fmt: skip


def _row(one: Checked) -> EvidenceRow:
    row, main = one.row, one.main
    question = row.problem.get("question")
    return EvidenceRow(
        id=row.id, group=row.group, kind=row.kind, part=PARTS.get(row.kind, "prediction"), set=row.set,
        quantity=main.quantity, published=main.published, printed=one.printed, ours=main.ours, rel_error=main.error,
        tolerance=main.tolerance, within=main.within, counted=main.counted, why=main.why, notes=list(main.notes),
        issue=row.issue, also=[_figure(figure) for figure in one.figures[1:]],
        predicted=[_figure(figure) for figure in one.predicted],
        question=question if isinstance(question, str) else "",
    )  # fmt: skip


def _figure(figure: Figure) -> FigureRow:
    return FigureRow(
        quantity=figure.quantity, published=figure.published, ours=figure.ours, rel_error=figure.error,
        tolerance=figure.tolerance, within=figure.within, counted=figure.counted, why=figure.why,
        low=figure.low, high=figure.high, inside=figure.inside, notes=list(figure.notes),
    )  # fmt: skip
