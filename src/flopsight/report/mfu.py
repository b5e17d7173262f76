"""The answer of `mfu`: what utilization a throughput means, and what every framework would have printed."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report import numbers
from flopsight.report.value import Result


class Peak(msgspec.Struct, kw_only=True):
    """The denominator, of all devices together, and where it comes from."""

    device: str
    count: int
    dtype: str
    basis: str
    flops_per_s: float
    kind: str
    source: str
    note: str = ""


class ShareRow(msgspec.Struct, kw_only=True):
    """One utilization with both its sides."""

    name: str
    ratio: float
    done_per_s: float
    could_per_s: float
    counted: str
    note: str = ""


class ConventionShare(msgspec.Struct, kw_only=True):
    """What one convention prints for the same run."""

    name: str
    title: str
    flops_per_token: float
    mfu: float
    """Over the peak above, or over the convention's own where it has one."""
    own_peak: float | None
    formula: str
    source: str
    bridge: dict[str, float]
    """FLOPs a token to add to the exact count, by what they pay for, to get this convention's."""
    note: str = ""


class MfuResult(Result, kw_only=True):
    """Utilizations of one run under the exact convention, and everybody else's."""

    command: str = "mfu"
    model: str
    phase: str
    batch: int
    seq: int
    past: int
    recompute: str
    tokens_per_s: float
    convention: str
    flops_per_token: float
    executed_per_token: float
    peak: Peak
    mfu: ShareRow
    hfu: ShareRow
    mbu: ShareRow | None
    mbu_unknown: str = ""
    conventions: list[ConventionShare]
    unknown: list[str]
    notes: list[str]
    next: str = ""

    def headline(self) -> str:
        """The answer in a sentence."""
        p, each = self.peak, self.mfu.done_per_s / self.peak.count
        text = (
            f"MFU {_percent(self.mfu.ratio)}: {self.model} does {numbers.flop(self.flops_per_token)} a token, so "
            f"{self.tokens_per_s:,.6g} tokens/s are {numbers.format_si(each, 'FLOP/s')} on each of {p.count} x "
            f"{p.device}, of {numbers.format_si(p.flops_per_s / p.count, 'FLOP/s')} ({p.dtype} dense, {p.basis})."
        )
        text += f" HFU {_percent(self.hfu.ratio)}."
        return text + (f" MBU {_percent(self.mbu.ratio)}." if self.mbu else "")

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The answer, the shares, the table of conventions, the method."""
        yield from draw(self)


def _percent(ratio: float) -> str:
    """One decimal, or two digits below one percent."""
    return f"{ratio:.1%}" if ratio >= 0.01 or not ratio else f"{100 * ratio:.2g}%"


def draw(r: MfuResult) -> Any:
    """Yield rich renderables."""
    from rich.text import Text

    yield Text(r.headline(), style="bold")
    yield _shares(r)
    if r.conventions:
        yield _conventions(r)
    if r.mbu is None and r.phase == "decode":
        yield Text(f"MBU: {r.mbu_unknown}", style="yellow")
    yield Text(_peak_line(r.peak), style="dim")
    for line in [s.note for s in (r.mfu, r.hfu, r.mbu) if s and s.note] + r.notes:
        yield Text(f"Note: {line}", style="dim")
    for line in r.unknown:
        yield Text(f"Unknown: {line}", style="yellow")
    yield Text(f"Next: {r.next}")


def _peak_line(peak: Peak) -> str:
    source = f"Peak: {peak.kind}, {peak.source or 'no source'}"
    return f"{source}; {peak.note}. `flopsight hardware show` has every source." if peak.note else f"{source}."


def _table(title: str, *columns: tuple[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=justify == "right")
    return table


def _shares(r: MfuResult) -> Any:
    table = _table("", ("", "left"), ("share", "right"), ("done", "right"), ("peak", "right"), ("counted", "left"))
    for s in (r.mfu, r.hfu, r.mbu):
        if s:
            unit = "B/s" if s.name == "MBU" else "FLOP/s"
            pair = [numbers.format_si(value, unit) for value in (s.done_per_s, s.could_per_s)]
            table.add_row(s.name, f"{s.ratio:.2%}", *pair, s.counted)
    return table


def _conventions(r: MfuResult) -> Any:
    table = _table(
        "What others would print for the same run", ("convention", "left"), ("a token", "right"), ("MFU", "right"),
        ("bridge from ours", "left"),
    )  # fmt: skip
    alike: dict[tuple[str, str, str], list[str]] = {}
    for row in r.conventions:
        key = (numbers.flop(row.flops_per_token), f"{row.mfu:.2%}", _bridge(row))
        alike.setdefault(key, []).append(row.title)
    for (flops, share, bridge), titles in alike.items():
        table.add_row(", ".join(titles), flops, share, bridge)
    return table


def _bridge(row: ConventionShare) -> str:
    """The terms that differ from ours; what no reader would see in the printed digits is left out."""
    seen = {name: gap for name, gap in row.bridge.items() if abs(gap) >= 5e-5 * row.flops_per_token}
    told = [f"{name} {_signed(gap)}" for name, gap in sorted(seen.items(), key=lambda item: -abs(item[1]))]
    if row.own_peak:
        told.append(f"peak {row.own_peak / 1e12:g}T a device")
    return ", ".join(told) or ("none" if not row.bridge else "under 0.01 %")


def _signed(value: float) -> str:
    return ("+" if value > 0 else "−") + numbers.flop(abs(value)).removesuffix("FLOP")
