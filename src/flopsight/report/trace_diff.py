"""The answer of `trace diff`: what moved between two traces, and whether that is more than noise."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report.value import Result


class SideRow(msgspec.Struct, kw_only=True):
    """One of the two."""

    source: str
    device: str
    steps: int
    step_us: float
    """Mean of the steps."""
    spread: float | None
    """(longest - shortest) / mean step; null with one step."""
    flops: int
    """Executed, a step."""
    mfu: float | None


class MovedRow(msgspec.Struct, kw_only=True):
    """A kind of time, or an op with its shapes, in one step of each."""

    what: str
    a_us: float
    b_us: float
    change_us: float
    noise_us: float | None
    """Largest difference of this between two steps of one side; null where a side has one step only."""
    certain: bool | None
    """Whether the change is more than that; null where noise is not known."""
    note: str = ""


class TraceDiffResult(Result, kw_only=True):
    """Two traces."""

    verdict: str
    a: SideRow
    b: SideRow
    parts: list[MovedRow]
    ops: list[MovedRow]
    notes: list[str]
    next: str

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The verdict, then tables."""
        from flopsight.report.draw_trace_diff import draw

        return draw(self)
