"""How counters look on their own: what they say was done, by formula, and then each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flopsight.report.draw_time import plain, text
from flopsight.report.draw_trace import counters
from flopsight.report.numbers import flop, size

if TYPE_CHECKING:
    from flopsight.report.trace import OneTrace, TraceResult, WitnessRow

MOST: Final = 120


def draw(r: TraceResult) -> Any:
    """Yield rich renderables, file by file."""
    from rich.text import Text

    yield Text(r.verdict, style="bold")
    for one in r.traces:
        if len(r.traces) > 1:
            yield Text(one.source, style="bold")
        yield from _said(one)
        yield from counters(one, MOST)
        for note in one.notes:
            yield Text(f"Note: {note}", style="dim")
        for lost in one.unread:
            yield Text(f"Not read: {lost.count:,} {lost.what} ({lost.why}).", style="dim")
    yield Text("Next: flopsight trace FILE sets counters beside times and recorded shapes")


def _said(one: OneTrace) -> Any:
    if not one.witnesses:
        return
    table = plain(("witness", "left"), ("says", "right"), ("of", "left"), ("trust", "left"), ("formula", "left"))
    for w in one.witnesses:
        what = " ".join(part for part in (w.dtype, w.engine, w.quantity.replace("_", " ")) if part)
        table.add_row(w.witness, _value(w), what, text(f"{w.trust}{': ' + w.why if w.why else ''}"), text(w.formula))
    yield table


def _value(w: WitnessRow) -> str:
    if w.value is None:
        return "unknown"
    return f"{w.value:.2%}" if w.quantity == "active" else flop(w.value) if w.quantity == "flops" else size(w.value)
