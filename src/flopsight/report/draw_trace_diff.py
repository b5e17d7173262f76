"""How a comparison of two traces looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flopsight.report.draw_time import percent, plain, text, time
from flopsight.report.numbers import flop

if TYPE_CHECKING:
    from flopsight.report.trace_diff import MovedRow, TraceDiffResult

OPS: Final = 20
LEAST: Final = 0.001
"""Ops that changed by less than this share of the longer step are not shown."""


def draw(r: TraceDiffResult) -> Any:
    """Yield rich renderables."""
    from rich.text import Text

    yield Text(r.verdict, style="bold")
    yield _sides(r)
    if r.parts:
        yield _table("where the time went", r.parts)
    least = LEAST * max(r.a.step_us, r.b.step_us)
    ops = [row for row in r.ops if abs(row.change_us) >= least][:OPS]
    if ops:
        yield _table("op and shapes", ops)
    for note in r.notes:
        yield Text(note, style="yellow" if note.startswith("Different") else "dim")
    yield Text(f"Next: {r.next}")


def _sides(r: TraceDiffResult) -> Any:
    table = plain(
        ("", "left"), ("device", "left"), ("steps", "right"), ("step", "right"), ("spread", "right"),
        ("FLOPs a step", "right"), ("MFU", "right"), ("file", "left"),
    )  # fmt: skip
    for name, side in (("A", r.a), ("B", r.b)):
        table.add_row(
            name, side.device or "-", str(side.steps), time(side.step_us / 1e6), _pc(side.spread),
            flop(side.flops) if side.flops else "-", _pc(side.mfu), side.source[-60:],
        )  # fmt: skip
    return table


def _table(title: str, rows: list[MovedRow]) -> Any:
    table = plain((title, "left"), ("A", "right"), ("B", "right"), ("change", "right"), ("", "left"))
    for row in rows:
        sure = {None: "", True: "more than the steps vary", False: "noise"}[row.certain]
        table.add_row(
            text(row.what), time(row.a_us / 1e6), time(row.b_us / 1e6), f"{row.change_us:+,.1f} us", row.note or sure
        )
    return table


def _pc(value: float | None) -> str:
    return "-" if value is None else percent(value)
