"""How a bench looks: a sentence a case, then each case's parts with predicted beside measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flopsight.report.draw_time import plain, text, time
from flopsight.report.numbers import flop, format_si, short, size

if TYPE_CHECKING:
    from flopsight.report.bench import BenchCase, BenchPart, BenchResult

METHOD: Final = (
    "MFU: FLOPs that the model requires over the median step and the measured peak of this format; HFU: those that its "
    "kernels were counted to do; MBU: weights and cache that must move over the median step and the measured memory "
    "bandwidth. Predicted: the ledger's products at the rates this machine showed on other shapes, plus the vector ops "
    "that the program was counted to run (bytes over bandwidth, and a launch each); nothing is fitted to the rows "
    "shown. Light speed: FLOPs over the peak or bytes over the memory's bandwidth, whichever is longer."
)
WIDEST: Final = 37
"""Characters of a part's name that a line has room for."""
LEAST: Final = 0.002
"""Parts below this share of the step are gathered into one line."""


def headline(r: BenchResult) -> str:
    """Model, format, device; then a sentence a case."""
    layers = f" ({r.layers} of {r.all_layers} layers)" if r.layers < r.all_layers else ""
    return f"{r.model}{layers} {r.dtype} on {r.device_name}: " + "; ".join(_sentence(c) for c in r.cases) + "."


def _sentence(c: BenchCase) -> str:
    shares = [f"{name} {value:.0%}" for name, value in (("MFU", c.mfu), ("MBU", c.mbu)) if value is not None]
    kept = [s for s in shares if not (c.phase == "decode" and s.startswith("MFU"))] or shares
    kept = [s for s in kept if not (c.phase == "prefill" and s.startswith("MBU"))]
    return (
        f"{_what(c)}: {time(c.median_s)} = {', '.join([*kept, _rate(c)])}, predicted {time(c.predicted_s)} "
        f"({c.error_of_median:+.0%}{_of_best(c)}), bound by {c.binds}"
    )


def _of_best(c: BenchCase) -> str:
    return f"; {c.error:+.0%} of the fastest step" if c.median_s > 1.05 * c.best_s else ""


def _what(c: BenchCase) -> str:
    return f"decode {c.batch} behind {c.past:,}" if c.phase == "decode" else f"{c.phase} {c.batch} x {c.seq:,}"


def _rate(c: BenchCase) -> str:
    return f"{format_si(c.tokens_per_s, 'tokens/s', 3)}"


def draw(r: BenchResult) -> Any:
    """Yield rich renderables: the answer, cases, parts, what was unsteady, the method, the next command."""
    from rich.text import Text

    yield Text(headline(r), style="bold")
    for line in r.warnings:
        yield Text(f"Note well: {line}.", style="yellow")
    yield cases(r)
    for case in r.cases:
        yield from _parts(case)
    yield text(
        f"{short(r.params)} parameters, run by {r.using}, torch {r.torch}"
        + (f", {r.threads} threads" if r.threads else "") + f", {r.date}."
    )  # fmt: skip
    for note in r.notes:
        yield Text(f"{note[0].upper()}{note[1:]}.", style="dim")
    yield Text(METHOD, style="dim")
    if r.saved:
        yield Text(f"Saved: {r.saved}")
    yield Text(f"Next: {r.next}")


def cases(r: BenchResult) -> Any:
    """A line a phase and batch."""
    table = plain(
        ("", "left"), ("median", "right"), ("fastest", "right"), ("predicted", "right"), ("light speed", "right"),
        ("FLOPs", "right"), ("bytes", "right"), ("FLOP/B", "right"), ("MFU", "right"), ("HFU", "right"),
        ("MBU", "right"), ("bound by", "left"), ("counted", "left"),
    )  # fmt: skip
    for c in r.cases:
        table.add_row(
            _what(c), time(c.median_s), time(c.best_s), time(c.predicted_s), time(c.bound_s), flop(c.required),
            size(c.bytes), f"{c.intensity:.3g}", _pc(c.mfu), _pc(c.hfu), _pc(c.mbu), c.binds, _agrees(c),
        )  # fmt: skip
        if c.whole_model_s is not None:
            table.add_row("  all layers, scaled", time(c.whole_model_s), *[""] * 11)
    return table


def _agrees(c: BenchCase) -> str:
    return {None: "no", True: "= ledger", False: "differs"}[c.counted_agrees]


def _parts(c: BenchCase) -> Any:
    table = plain(
        (f"{_what(c)}, the fastest of {c.watched_steps} watched steps", "left"), ("measured", "right"),
        ("share", "right"), ("predicted", "right"), ("pred/meas", "right"), ("light speed", "right"),
        ("FLOPs", "right"), ("bytes", "right"), ("ops", "right"), ("bound by", "left"),
    )  # fmt: skip
    small = [part for part in c.parts if part.ns < LEAST * c.watched_ns]
    for part in c.parts:
        if part not in small:
            table.add_row(_label(part), *_cells(part, c))
    if small:
        ns = sum(part.ns for part in small)
        told = sum(part.predicted_s or 0.0 for part in small)
        table.add_row(f"{len(small)} small parts", time(ns / 1e9), f"{ns / c.watched_ns:.1%}", time(told), *[""] * 6)
    table.add_row("between parts", time(c.between_ns / 1e9), f"{c.between_ns / c.watched_ns:.1%}", *[""] * 7)
    table.add_row("sum", time(c.watched_ns / 1e9), "100%", time(c.predicted_s),
                  f"{c.predicted_s / (c.watched_ns / 1e9):.2f}", time(c.bound_s), flop(c.required), size(c.bytes),
                  "", "")  # fmt: skip
    yield table


def _label(part: BenchPart) -> str:
    path = part.path or "the model itself"
    whole = f"{path} ({', '.join(part.contains)})" if part.contains else path
    # the end of a path tells more than its beginning
    return whole if len(whole) <= WIDEST else f"…{whole[1 - WIDEST :]}"


def _cells(part: BenchPart, c: BenchCase) -> list[str]:
    seconds = part.ns / 1e9
    told = part.predicted_s
    return [
        time(seconds), f"{part.ns / c.watched_ns:.1%}", "-" if told is None else time(told),
        "-" if told is None or not seconds else f"{told / seconds:.2f}",
        "-" if part.bound_s is None else time(part.bound_s), flop(part.required) if part.required else "",
        size(part.bytes) if part.bytes else "", "" if part.ops is None else f"{part.ops:,}", part.binds,
    ]  # fmt: skip


def _pc(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
