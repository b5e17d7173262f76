"""The answer of `calibrate`: what kernels take on this device, beside what was predicted."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report.value import Result

METHOD = (
    "Median of repeats, caches flushed between them; every second case gives the correction, the others its error. "
    "A chip's correction is used once saved (--save)."
)


class PointRow(msgspec.Struct, kw_only=True):
    """One kernel at one shape."""

    room: str
    dtype: str
    shape: dict[str, int]
    seconds: float | None
    spread: float
    """(largest - smallest) / median over the repeats."""
    repeats: int
    flops_per_s: float | None
    bytes_per_s: float | None
    predicted_seconds: float | None
    ratio: float | None
    """Measured over predicted."""
    why: str = ""


class CalibrateResult(Result, kw_only=True):
    """Measured kernels of one device."""

    command: str = "calibrate"
    device: str
    chip: str | None
    why_no_chip: str = ""
    torch: str
    date: str
    points: list[PointRow]
    corrections: dict[str, float]
    """Measured over predicted, by kind of kernel: what `predict` multiplies by once saved."""
    errors: dict[str, float]
    """Median error after the correction, on cases that it did not see."""
    saved: str = ""
    next: str = ""

    def headline(self) -> str:
        """The answer in one or two sentences."""
        ran = [p for p in self.points if p.seconds is not None]
        text = f"{len(ran)} of {len(self.points)} kernels ran on {self.device} (torch {self.torch})."
        peaks = [(p.flops_per_s or 0, p) for p in ran if p.room == "gemm"]
        if peaks:
            rate, best = max(peaks, key=lambda pair: pair[0])
            m, n, k = (best.shape[x] for x in "mnk")
            text += f" Best product: {rate / 1e12:.3g} TFLOP/s in {best.dtype} at {m} x {n} x {k}."
        return text

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The answer, the corrections, the table, the method."""
        yield from draw(self)


def draw(r: CalibrateResult) -> Any:
    """Yield rich renderables."""
    from rich.text import Text

    yield Text(r.headline(), style="bold")
    if r.why_no_chip:
        yield Text(f"Not compared with predictions: {r.why_no_chip}.")
    for kind, factor in r.corrections.items():
        yield Text(
            f"{kind}: {factor:.2f} times the predicted time (error after correction {r.errors[kind]:.0%}, median)"
        )
    yield _table(r.points)
    for p in r.points:
        if p.why:
            yield Text(f"Not run: {p.room} in {p.dtype}, {_shape(p)}: {p.why}")
    yield Text(METHOD, style="dim")
    if r.saved:
        yield Text(f"Saved: {r.saved}")
    yield Text(f"Next: {r.next}")


def _table(points: list[PointRow]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("kernel", "format", "shape"):
        table.add_column(name, no_wrap=True)
    for name in ("time", "spread", "TFLOP/s", "GB/s", "measured / predicted"):
        table.add_column(name, justify="right", no_wrap=True)
    for p in points:
        table.add_row(p.room.replace("_", " "), p.dtype, _shape(p), *_numbers(p))
    return table


def _shape(p: PointRow) -> str:
    s = p.shape
    if p.room == "gemm":
        return f"{s['m']} x {s['n']} x {s['k']}"
    if "kv_heads" in s:
        return f"{s['batch']} x {s['length']}, {s['heads']}/{s['kv_heads']} heads of {s['width']}"
    return ", ".join(f"{value:,} {name}" for name, value in s.items())


def _numbers(p: PointRow) -> tuple[str, ...]:
    if p.seconds is None:
        return ("not run", "", "", "", "")
    rates = [f"{v / scale:.3g}" if v else "" for v, scale in ((p.flops_per_s, 1e12), (p.bytes_per_s, 1e9))]
    return (f"{p.seconds * 1e6:,.1f} us", f"{p.spread:.0%}", *rates, f"{p.ratio:.2f}" if p.ratio else "")
