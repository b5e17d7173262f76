"""The answer of `validate`: what published numbers recompute to, misses first."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report.value import Result


class Errors(msgspec.Struct, kw_only=True):
    """|ours / published - 1| over some rows; null where no row has both numbers. p90 is the nearest rank."""

    rows: int
    answered: int
    """Rows with a value of ours."""
    compared: int
    """Rows with a value of ours and a published one."""
    within: int
    """Rows inside their tolerance."""
    median_abs_rel_error: float | None
    p90_abs_rel_error: float | None
    max_abs_rel_error: float | None
    mean_abs_rel_error: float | None = None
    interval_coverage: float | None = None
    """Share of the published numbers that lie in our 90 % interval; null for what is no prediction."""


class FigureRow(msgspec.Struct, kw_only=True):
    """One number of a row."""

    quantity: str
    published: float | None
    ours: float | None
    rel_error: float | None
    """ours / published - 1."""
    tolerance: float
    within: bool | None
    counted: str = ""
    why: str = ""
    low: float | None = None
    high: float | None = None
    inside: bool | None = None
    """Whether the published number lies between low and high, a prediction's 90 % interval."""
    notes: list[str] = []


class EvidenceRow(msgspec.Struct, kw_only=True):
    """One published measurement with its main figure, and the others it prints in `also`."""

    id: str
    group: str
    kind: str
    part: str
    """recompute, arithmetic, or prediction."""
    set: str
    """clean, or why the row is kept out of the figures: published_issue, recalled, quality_b."""
    quantity: str
    published: float | None
    """What the source prints; of a worked problem the answer without rounding, where there is one."""
    printed: float | None
    """What the source prints, of a worked problem too."""
    ours: float | None
    rel_error: float | None
    tolerance: float
    within: bool | None
    counted: str
    why: str
    """Why there is no value of ours."""
    notes: list[str]
    issue: str
    also: list[FigureRow]
    predicted: list[FigureRow] = []
    """What the predictor says of the row, the main quantity first."""
    question: str = ""


class ValidateResult(Result, kw_only=True):
    """Published measurements against our formulas."""

    command: str = "validate"
    folder: str
    recompute: dict[str, Errors]
    kinds: dict[str, Errors]
    rows: list[EvidenceRow]
    tolerance: str
    next: str = ""

    def misses(self) -> list[EvidenceRow]:
        """Clean rows outside their tolerance, the worst first; predictions have their own list."""
        found = [r for r in self.rows if r.within is False and r.set == "clean" and r.part != "prediction"]
        return sorted(found, key=lambda row: -abs(row.rel_error or 0))

    def unanswered(self) -> list[EvidenceRow]:
        """Clean rows that were to be recomputed or solved and were not."""
        parts = ("recompute", "arithmetic")
        return [row for row in self.rows if row.ours is None and row.set == "clean" and row.part in parts]

    def apart(self) -> list[EvidenceRow]:
        """Rows kept apart that do not come out."""
        return [r for r in self.rows if r.within is False and r.set != "clean" and r.part != "prediction"]

    def far(self, most: int = 25) -> list[tuple[EvidenceRow, FigureRow]]:
        """Clean rows whose main prediction is furthest off, the worst first."""
        pairs = [(row, row.predicted[0]) for row in self.rows if row.predicted and row.set == "clean"]
        found = [(row, one) for row, one in pairs if one.within is False]
        return sorted(found, key=lambda pair: -abs(pair[1].rel_error or 0))[:most]

    def silent(self) -> list[EvidenceRow]:
        """Clean rows without a prediction."""
        return [r for r in self.rows if r.set == "clean" and r.kind != "arithmetic" and _mute(r)]

    def aside(self) -> list[tuple[EvidenceRow, FigureRow]]:
        """Further figures of a row that do not come out, whatever its main one does."""
        recomputed = [row for row in self.rows if row.part != "prediction"]
        return [(row, one) for row in recomputed for one in row.also if one.within is False]

    def headline(self) -> str:
        """The answer in two sentences."""
        parts = (("recomputation", self.recompute["all"]), ("arithmetic", self.kinds["arithmetic"]))
        foretold = [_prediction(name, self.kinds[name]) for name in PREDICTED if self.kinds[name].rows]
        return " ".join([*(_sentence(name, errors) for name, errors in parts), *foretold])

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The answer, the misses, the tables, the method."""
        yield from draw(self)


PREDICTED: tuple[str, ...] = ("train_mfu", "prefill", "decode", "serving", "serving_ttft", "kernel")


def _mute(row: EvidenceRow) -> bool:
    return not row.predicted or row.predicted[0].ours is None


def _prediction(name: str, e: Errors) -> str:
    if e.median_abs_rel_error is None:
        return f"{name}: {e.rows} rows, none predicted."
    text = f"{name} predictions: median error {e.median_abs_rel_error:.1%} over {e.compared} of {e.rows} rows"
    return text + ("." if e.interval_coverage is None else f", {e.interval_coverage:.0%} inside the 90 % interval.")


def _sentence(name: str, e: Errors) -> str:
    text = f"{e.within} of {e.compared} {name} rows are within tolerance"
    if e.median_abs_rel_error is not None and e.max_abs_rel_error is not None:
        text += f" (median error {e.median_abs_rel_error:.2%}, largest {e.max_abs_rel_error:.2%})"
    alone = e.answered - e.compared
    text += f", {alone} more print nothing to compare with" if alone else ""
    return text + (f", {e.rows - e.answered} are not answered." if e.rows > e.answered else ".")


def draw(r: ValidateResult) -> Any:
    """Yield rich renderables: misses before anything that came out."""
    from rich.text import Text

    yield Text(r.headline(), style="bold")
    for title, rows in (("Misses", r.misses()), ("Kept apart and not reproduced", r.apart())):
        if rows:
            yield _misses(title, rows)
    if r.aside():
        yield _aside(r.aside())
    if r.unanswered():
        yield _reasons(r.unanswered())
    if r.far():
        yield _far(r.far())
    if r.silent():
        yield _mutes(r.silent())
    yield _errors("Published utilization from published throughput", r.recompute)
    yield _errors("Predictions and worked problems, by kind", r.kinds)
    yield Text(f"Tolerance: {r.tolerance}", style="dim")
    yield Text(f"Next: {r.next}")


def _table(title: str, *columns: tuple[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=justify == "right", overflow="fold")
    return table


COLUMNS: tuple[tuple[str, Any], ...] = (
    ("row", "left"), ("quantity", "left"), ("published", "right"), ("ours", "right"), ("error", "right"),
    ("allowed", "right"), ("why", "left"),
)  # fmt: skip


def _misses(title: str, rows: list[EvidenceRow]) -> Any:
    table = _table(title, *COLUMNS)
    for row in rows:
        table.add_row(row.id, *_cells(row), row.issue or "; ".join(row.notes) or row.counted)
    return table


def _aside(pairs: list[tuple[EvidenceRow, FigureRow]]) -> Any:
    table = _table("Other figures of these rows that do not come out", *COLUMNS)
    for row, one in pairs:
        table.add_row(row.id, *_cells(one), row.issue or one.counted)
    return table


def _far(pairs: list[tuple[EvidenceRow, FigureRow]]) -> Any:
    table = _table("Predictions furthest off", *COLUMNS[:5], ("interval", "right"), ("", "left"))
    for row, one in pairs:
        held = "" if one.low is None or one.high is None else f"{one.low:.4g} to {one.high:.4g}"
        table.add_row(row.id, *_cells(one)[:4], held, "; ".join(one.notes))
    return table


def _mutes(rows: list[EvidenceRow]) -> Any:
    table = _table("Not predicted", ("rows", "right"), ("why", "left"), ("such as", "left"))
    reasons = [row.predicted[0].why if row.predicted else "no prediction" for row in rows]
    for why in dict.fromkeys(reasons):
        same = [row.id for row, reason in zip(rows, reasons, strict=True) if reason == why]
        table.add_row(str(len(same)), why, same[0])
    return table


def _cells(one: EvidenceRow | FigureRow) -> tuple[str, ...]:
    error = "" if one.rel_error is None else f"{one.rel_error:+.2%}"
    pair = ("" if value is None else f"{value:.6g}" for value in (one.published, one.ours))
    return (one.quantity, *pair, error, f"{one.tolerance:.2%}")


def _reasons(rows: list[EvidenceRow]) -> Any:
    """Rows without an answer, gathered by reason."""
    table = _table("Not answered", ("rows", "right"), ("why", "left"), ("such as", "left"))
    for why in dict.fromkeys(row.why for row in rows):
        same = [row.id for row in rows if row.why == why]
        table.add_row(str(len(same)), why, same[0])
    return table


def _errors(title: str, spreads: dict[str, Errors]) -> Any:
    table = _table(
        title, ("", "left"), ("rows", "right"), ("answered", "right"), ("compared", "right"), ("within", "right"),
        ("median", "right"), ("p90", "right"), ("max", "right"), ("mean", "right"), ("in interval", "right"),
    )  # fmt: skip
    for name, e in spreads.items():
        counts = [str(value) for value in (e.rows, e.answered, e.compared, e.within)]
        shares = (
            e.median_abs_rel_error, e.p90_abs_rel_error, e.max_abs_rel_error, e.mean_abs_rel_error, e.interval_coverage,
        )  # fmt: skip
        table.add_row(name, *counts, *("" if value is None else f"{value:.2%}" for value in shares))
    return table
