"""How a trace's result looks: the sentence, where the time went, the heaviest ops and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flopsight.report.draw_time import percent, plain, stick, text, time
from flopsight.report.numbers import flop, format_si, size

if TYPE_CHECKING:
    from flopsight.report.trace import KernelRow, OneTrace, TraceResult

METHOD: Final = (
    "Time is split by interval union: every nanosecond of the steps belongs to one line. FLOPs are those of matrix "
    "products, from recorded shapes, a multiply-add as two; required takes the causal half of attention, executed what "
    "kernels did. Roof: the least time this chip's data sheet allows the op's FLOPs and bytes, over its kernel time."
)
OPS: Final = 12
KERNELS: Final = 6
MODULES: Final = 14
STEPS: Final = 8
COUNTERS: Final = 40
NAME: Final = 46


def draw(r: TraceResult) -> Any:
    """Yield rich renderables."""
    from rich.text import Text

    one = r.traces[0]
    yield Text(r.verdict, style="bold")
    yield from _ranks(r)
    if one.parts:
        yield from _parts(one)
    if len(one.windows) > 1:
        yield _windows(one)
    if one.flops.executed or one.witnesses:
        yield from _witnesses(one)
    if not one.kernels and not one.ops:
        yield from counters(one)
    yield from _beside(one)
    if one.ops:
        yield from _ops(one)
    if one.modules:
        yield _modules(one)
    yield from _unmodelled(one)
    if one.kernels:
        yield text(_coverage(one))
    for note in one.notes:
        yield Text(f"Note: {note}", style="dim")
    for lost in one.unread:
        yield Text(f"Not read: {lost.count:,} {lost.what} ({lost.why}).", style="dim")
    if one.parts or one.ops:
        yield Text(METHOD, style="dim")
    yield Text(f"Next: {r.next}")


def _ranks(r: TraceResult) -> Any:
    from rich.text import Text

    if not r.ranks:
        return
    table = plain(
        ("rank", "right"), ("time", "right"), ("busy", "right"), ("computing", "right"), ("communication", "right"),
        ("exposed", "right"), ("idle", "right"), ("FLOPs", "right"), ("file", "left"),
    )  # fmt: skip
    for row in r.ranks:
        table.add_row(
            "-" if row.rank is None else str(row.rank), _us(row.us), _pc(row.busy), _us(row.compute_us),
            _us(row.comm_us), _us(row.exposed_comm_us), _us(row.idle_us), flop(row.flops) if row.flops else "-",
            _end(row.source, 40),
        )  # fmt: skip
    yield table
    for note in r.rank_notes:
        yield Text(note, style="yellow")


def _parts(one: OneTrace) -> Any:
    table = plain(("where the time went", "left"), ("", "left"), ("", "right"), ("", "right"))
    for row in one.parts:
        table.add_row(row.part, stick(row.share), _us(row.us), percent(row.share))
    yield table
    hidden = [f"{_us(us)} of {what} is hidden under other work" for what, us in one.hidden.items() if us]
    if hidden:
        yield text(f"Besides, {' and '.join(hidden)}.")


def _windows(one: OneTrace) -> Any:
    table = plain(
        ("step", "left"), ("device", "right"), ("time", "right"), ("on its thread", "right"), ("busy", "right"),
        ("idle", "right"), ("exposed communication", "right"),
    )  # fmt: skip
    for row in one.windows[:STEPS]:
        table.add_row(
            _end(row.name, NAME), str(row.device), _us(row.us), _us(row.host_us) if row.host_us else "-",
            _pc(row.busy), _pc(row.idle), _pc(row.exposed_comm),
        )  # fmt: skip
    if len(one.windows) > STEPS:
        table.add_row(f"{len(one.windows) - STEPS} more", *[""] * 6)
    return table


def _witnesses(one: OneTrace) -> Any:
    table = plain(("witness", "left"), ("says", "right"), ("of", "left"), ("trust", "left"), ("", "left"))
    if one.flops.executed:
        table.add_row("recorded shapes", flop(one.flops.executed), "executed FLOPs in the steps", "", _required(one))
    for w in one.witnesses:
        value = "unknown" if w.value is None else f"{w.value:.1%}" if w.quantity == "active" else (
            flop(w.value) if w.quantity == "flops" else size(w.value)
        )  # fmt: skip
        what = " ".join(part for part in (w.dtype, w.engine, w.quantity.replace("_", " ")) if part)
        table.add_row(w.witness, value, what, w.trust, w.why)
    yield table


def _required(one: OneTrace) -> str:
    f = one.flops
    same = f.required == f.executed
    return "" if same else f"required {flop(f.required)}, whole score squares {flop(f.full_square)}"


def counters(one: OneTrace, most: int = COUNTERS) -> Any:
    """Every counter with its value, or that it was not collected."""
    if not one.counters:
        return
    table = plain(("counter", "left"), ("value", "right"), ("unit", "left"), ("of", "left"), ("", "left"))
    for row in one.counters[:most]:
        value = "not collected" if row.value is None else f"{row.value:,.6g}"
        labels = ", ".join(f"{k} {v}" for k, v in list(row.labels.items())[:3])
        table.add_row(text(row.name), value, row.unit, row.over, text(row.why or labels))
    if len(one.counters) > most:
        table.add_row(f"{len(one.counters) - most} more", "", "", "", "")
    yield table


def _beside(one: OneTrace) -> Any:
    if one.beside_of and not one.beside:
        yield text(f"Not set beside the model: {one.beside_of}")
    if not one.beside:
        return
    table = plain(
        (f"part, a {one.beside_of}", "left"), ("predicted", "right"), ("achieved", "right"), ("pred/ach", "right"),
        ("FLOPs by ledger", "right"), ("by shapes", "right"), ("calls", "right"),
    )  # fmt: skip
    for row in one.beside:
        table.add_row(
            row.part, "-" if row.predicted_us is None else _us(row.predicted_us), _us(row.achieved_us),
            _ratio(row.predicted_us, row.achieved_us), flop(row.ledger_flops) if row.ledger_flops else "",
            flop(row.counted_flops) if row.counted_flops else "", f"{row.calls:,}" if row.calls else "",
        )  # fmt: skip
    told = [row.predicted_us for row in one.beside]
    whole, done = (None if None in told else sum(n or 0.0 for n in told)), sum(row.achieved_us for row in one.beside)
    table.add_row(
        "sum", "-" if whole is None else _us(whole), _us(done), _ratio(whole, done),
        flop(sum(row.ledger_flops for row in one.beside)), flop(sum(row.counted_flops for row in one.beside)), "",
    )  # fmt: skip
    yield table


def _ratio(a: float | None, b: float) -> str:
    return "-" if a is None or not b else f"{a / b:.2f}"


def _ops(one: OneTrace) -> Any:
    table = plain(
        ("op and shapes", "left"), ("calls", "right"), ("time", "right"), ("share", "right"), ("FLOP/s", "right"),
        ("B/s", "right"), ("FLOP/B", "right"), ("roof", "right"), ("bound by", "left"),
    )  # fmt: skip
    for row in one.ops[:OPS]:
        table.add_row(
            f"{row.op.removeprefix('aten::')} {row.shapes}"[:54], f"{row.calls:,}", _us(row.us), _pc(row.share),
            _rate(row.flops_per_s, "FLOP/s"), _rate(row.bytes_per_s, "B/s"),
            "" if row.intensity is None else f"{row.intensity:.3g}", _pc(row.roof), row.bound,
        )  # fmt: skip
    yield table
    for row in one.ops[:OPS]:
        for finding in row.findings[:2]:
            yield text(f"  {row.op.removeprefix('aten::')} {row.shapes}: {finding}.")


def _modules(one: OneTrace) -> Any:
    table = plain(("module", "left"), ("calls", "right"), ("time", "right"), ("share", "right"), ("FLOPs", "right"))
    heavy = sorted(one.modules, key=lambda m: -m.us)[:MODULES]
    for row in one.modules:
        if row in heavy:
            table.add_row(_end(row.path, 72), f"{row.calls:,}", _us(row.us), _pc(row.share),
                          flop(row.flops) if row.flops else "")  # fmt: skip
    if len(one.modules) > MODULES:
        rest = sum(m.us for m in one.modules) - sum(m.us for m in heavy)
        table.add_row(f"{len(one.modules) - MODULES} more", "", _us(rest), "", "")
    return table


def _unmodelled(one: OneTrace) -> Any:
    heavy = [row for row in one.unmodelled if row.share >= 0.005][:KERNELS]
    if not heavy:
        return
    table = plain(("kernels whose work is not known", "left"), ("kind", "left"), ("time", "right"), ("share", "right"))
    for row in heavy:
        table.add_row(text(_short(row)), row.kind, _us(row.us), _pc(row.share))
    yield table


def _short(row: KernelRow) -> str:
    plain_name = row.name.removeprefix("void ").replace("(anonymous namespace)::", "")
    name = plain_name.partition("(")[0] or row.name
    return name if len(name) <= 72 else name[:71] + "…"


def _coverage(one: OneTrace) -> str:
    c = one.coverage
    said = [
        ("FLOPs known of", c.flops, "matrix-product time"), ("a cost known of", c.cost, "computing time"),
        ("an op known of", c.op, ""), ("a module known of", c.module, ""),
    ]  # fmt: skip
    known = [f"{what} {value:.0%}{' of ' + of if of else ''}" for what, value, of in said if value is not None]
    return f"Coverage: {', '.join(known).replace('known of', 'known for')}." if known else "Coverage: no kernel time."


def _us(us: float) -> str:
    return time(us / 1e6)


def _pc(value: float | None) -> str:
    return "-" if value is None else percent(value)


def _rate(value: float | None, unit: str) -> str:
    return "" if value is None else format_si(value, unit, 3)


def _end(name: str, width: int) -> str:
    return name if len(name) <= width else f"…{name[1 - width :]}"
