"""How predicted times look: seconds with their interval, bars by cause, plain tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from flopsight.report import numbers

if TYPE_CHECKING:
    from flopsight.report.can import Range

CAUSES: Final = {
    "compute": "matrix products",
    "weights": "reading weights",
    "cache": "reading the cache",
    "other": "moving activations",
    "collective": "exchange between devices",
    "bubble": "waiting for other stages",
    "host": "host: scheduler, Python",
    "launch": "kernel starts and gaps",
    "prompts": "prompts of other requests",
}
BAR: Final = 40
LEAST: Final = 5e-5
"""Causes below this share of the time are not drawn."""


def time(seconds: float, digits: int = 3) -> str:
    """Seconds with an SI prefix; longer than two minutes in minutes, hours or days."""
    for size, unit in ((172_800, 86_400), (7_200, 3_600), (120, 60)):
        if seconds >= size:
            return f"{seconds / unit:.3g} {({86_400: 'days', 3_600: 'h', 60: 'min'})[unit]}"
    return numbers.format_si(seconds, "s", digits)


def count(value: float) -> str:
    """A rate or a number of things: three digits, whole from a thousand on."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:#.3g}".removesuffix(".")


def percent(ratio: float) -> str:
    """One decimal, or two digits below one percent."""
    return f"{ratio:.1%}" if ratio >= 0.01 or not ratio else f"{100 * ratio:.2g}%"


def span(r: Range, form: Any = count) -> str:
    """The interval in words: 24 to 41."""
    low, high = form(r.low), form(r.high)
    unit = high.rpartition(" ")[2] if " " in high else ""
    return f"{low.removesuffix(' ' + unit) if unit else low} to {high}"


def short(label: str) -> str:
    """A machine's label without what stands in brackets."""
    return label.partition(" (")[0] if "announced" not in label else label


def text(cell: str) -> Any:
    """A cell as it is, with nothing in it taken for markup."""
    from rich.text import Text

    return Text(cell)


def bars(causes: Mapping[str, float], extra: Mapping[str, str] | None = None) -> Any:
    """A line a cause, the longest first, with its seconds and its share."""
    table = plain(("", "left"), ("", "left"), ("", "right"), ("", "right"), ("", "left"))
    table.show_header = False
    whole = sum(causes.values())
    for name, seconds in sorted(causes.items(), key=lambda item: -item[1]):
        share = seconds / whole if whole else 0.0
        if share < LEAST:
            continue
        note = (extra or {}).get(name, "")
        table.add_row(CAUSES.get(name, name), stick(share), time(seconds), percent(share), note)
    return table


def stick(share: float, width: int = BAR) -> str:
    """A bar of text; eighths of a cell are drawn."""
    cells, eighths = divmod(round(share * width * 8), 8)
    return "█" * cells + (" ▏▎▍▌▋▊▉"[eighths] if eighths else "")


def plain(*columns: tuple[str, Any], title: str = "") -> Any:
    """A table without a box."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=title or None, title_justify="left")
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=justify == "right")
    return table


def small_print(notes: Sequence[str], left_out: Sequence[str], unknown: Sequence[str], following: str) -> Any:
    """Notes, what was not counted, the next command."""
    from rich.text import Text

    for line in dict.fromkeys(notes):
        yield Text(f"Note: {line}", style="dim")
    if left_out:
        yield Text(f"Left out: {'; '.join(one.rstrip('.') for one in dict.fromkeys(left_out))}.", style="dim")
    for line in dict.fromkeys(unknown):
        yield Text(f"Unknown: {line}", style="yellow")
    if following:
        yield Text(f"Next: {following}")
