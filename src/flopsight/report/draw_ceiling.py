"""How measured ceilings look: products, bandwidth by working set with its cache levels, launches, collectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flopsight.report.draw_time import plain, stick, text
from flopsight.units import format_iec, format_si

if TYPE_CHECKING:
    from flopsight.report.ceiling import BandwidthRow, CeilingResult, ClockRow, CollectiveRow, LaunchRow, ProductRow

METHOD: Final = (
    "Rates are of the fastest sample after a warm-up, 2mnk FLOPs a product, of x W^T with normal random numbers. "
    "Read: bytes read once. Write: bytes written, without the reads that caches do before they write. Copy: both. "
    "A working set is divided among the threads."
)
BUS_METHOD: Final = (
    "Bus bandwidth as NCCL-tests has it: S / t x 2(n - 1)/n for all-reduce, S / t x (n - 1)/n for the others, t the "
    "slowest rank's, all ranks starting together."
)
LEADING: Final = ("bf16", "fp16", "fp32")
_BAR: Final = 28


def headline(r: CeilingResult) -> str:
    """The fastest product, the memory, a launch; or the fastest collective."""
    if r.collectives:
        return _exchanged(r)
    ran = {p.dtype: p for p in r.products if p.flops_per_s}
    first = next((ran[d] for d in LEADING if d in ran), None)
    parts = [f"{_product(first)}{_also(first, ran)}"] if first else ["no matrix product ran"]
    memory = next((level for level in r.levels if level.level == "memory"), None)
    if memory:
        rates = {"read": memory.read, "write": memory.write, "copy": memory.copy}
        parts.append("memory " + ", ".join(f"{_bw(rate)} {word}" for word, rate in rates.items() if rate))
    if r.launch:
        parts.append(f"{_s(r.launch.eager)} to launch one small op")
    return f"{r.name}: {'; '.join(parts)}."


def _product(p: ProductRow) -> str:
    shares = [f"{p.of_datasheet:.0%} of its data sheet"] if p.of_datasheet else []
    shares += [f"{p.of_clock:.0%} of its clock peak"] if p.of_clock else []
    return f"{p.dtype} {_flops(p.flops_per_s, p.dtype)} at {_shape(p)}" + (f" = {', '.join(shares)}" if shares else "")


def _also(first: ProductRow, ran: dict[str, ProductRow]) -> str:
    others = [f"{p.dtype} {_flops(p.flops_per_s, p.dtype)}" for name, p in ran.items() if name != first.dtype]
    return f" ({', '.join(others)})" if others else ""


def _exchanged(r: CeilingResult) -> str:
    best: dict[str, CollectiveRow] = {}
    for row in r.collectives:
        if row.bus_bytes_per_s and row.bus_bytes_per_s > (_rate(best.get(row.collective))):
            best[row.collective] = row
    said = [f"{_words(kind)} {_bw(row.bus_bytes_per_s)} at {format_iec(row.size)}" for kind, row in best.items()]
    return f"Bus bandwidth between {r.ranks} ranks ({r.backend}, {r.name}): {', '.join(said) or 'nothing ran'}."


def _rate(row: CollectiveRow | None) -> float:
    return (row.bus_bytes_per_s or 0.0) if row else 0.0


def draw(r: CeilingResult) -> Any:
    """Yield rich renderables: the answer, tables, what was unsteady, the method, the next command."""
    from rich.text import Text

    yield Text(headline(r), style="bold")
    for line in r.warnings:
        yield Text(f"Unsteady: {line}", style="yellow")
    if r.products:
        yield products(r)
    if r.bandwidth:
        yield bandwidth(r)
    yield from _costs(r.launch)
    if r.collectives:
        yield collectives(r.collectives)
    yield from _not_run(r)
    yield Text(_conditions(r), style="dim")
    for note in r.notes:
        yield Text(note, style="dim")
    yield Text(BUS_METHOD if r.collectives else METHOD, style="dim")
    if r.saved:
        yield Text(f"Saved: {r.saved}")
    yield Text(f"Next: {r.next}")


def products(r: CeilingResult) -> Any:
    """Matrix products by number format."""
    ran = [p for p in r.products if p.flops_per_s]
    columns: dict[str, list[str]] = {
        "best": [_flops(p.flops_per_s, p.dtype) for p in ran],
        "median": [_flops(p.median_flops_per_s, p.dtype) for p in ran],
        "spread": [_pc(p.spread) for p in ran],
        "of data sheet": [_pc(p.of_datasheet) for p in ran],
        "of clock peak": [_pc(p.of_clock) for p in ran],
        "at m x n x k": [_shape(p) for p in ran],
        "shapes tried": [str(p.tried) for p in ran],
    }
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    table = plain(("product", "left"), *((name, "right") for name in kept))
    for p, *cells in zip(ran, *kept.values(), strict=True):
        table.add_row(p.dtype, *cells)
    return table


def bandwidth(r: CeilingResult) -> Any:
    """A line a working set, a bar for reading it; where the level changes its name and size are said."""
    table = plain(("working set", "right"), ("lies in", "left"), ("read", "left"), ("", "right"), ("write", "right"),
                  ("copy", "right"))  # fmt: skip
    most = max((row.bytes_per_s for row in r.bandwidth if row.direction == "read"), default=1.0)
    sizes, before = {level.level: level.bytes for level in r.levels}, ""
    for size in sorted({row.size for row in r.bandwidth}):
        rows = {row.direction: row for row in r.bandwidth if row.size == size}
        level = next(iter(rows.values())).level
        held = sizes.get(level)
        where = "" if level == before else f"{level}, {format_iec(held)}" if held else level
        read = rows["read"].bytes_per_s if "read" in rows else 0.0
        table.add_row(format_iec(size), where, stick(read / most, _BAR), *(_cell(rows.get(d)) for d in
                      ("read", "write", "copy")))  # fmt: skip
        before = level
    return table


def _cell(row: BandwidthRow | None) -> str:
    return _bw(row.bytes_per_s) if row else "-"


def _costs(row: LaunchRow | None) -> Any:
    if row is None:
        return
    graph = f"{_s(row.graph)} in a replayed graph" if row.graph else f"no graph replay: {row.why_no_graph}"
    yield text(f"One small op: {_s(row.eager)} eager, {_s(row.alone)} with the wait for it; {graph}.")


def collectives(rows: list[CollectiveRow]) -> Any:
    """A line a message size, a column a collective."""
    kinds = list(dict.fromkeys(row.collective for row in rows if not row.why))
    table = plain(("message", "right"), *((_words(kind), "right") for kind in kinds), ("time of all-reduce", "right"))
    found = {(row.collective, row.size): row for row in rows if not row.why}
    for size in sorted({size for _, size in found}):
        cells = [_bw(found[kind, size].bus_bytes_per_s) if (kind, size) in found else "-" for kind in kinds]
        first = found.get(("all_reduce", size))
        table.add_row(format_iec(size), *cells, _s(first.seconds) if first else "-")
    return table


def _not_run(r: CeilingResult) -> Any:
    for name, why in [(p.dtype, p.why) for p in r.products] + [(_words(c.collective), c.why) for c in r.collectives]:
        if why:
            yield text(f"Not run: {name}: {why}")


def _conditions(r: CeilingResult) -> str:
    said = [f"torch {r.torch}", r.date]
    if r.threads:
        said.append(f"{r.threads} of {r.cores} processors")
    if r.clock:
        said.append(_clock(r.clock))
    if r.drift is not None:
        said.append(f"drift {r.drift:.1%} from start to end")
    if r.steal is not None and r.others is not None:
        said.append(f"{r.steal:.1%} of the processors' time stolen by the hypervisor, {r.others:.1%} used by others")
    return ". ".join(f"{one[0].upper()}{one[1:]}" if one[0].islower() else one for one in ("; ".join(said),)) + "."


def _clock(c: ClockRow) -> str:
    if c.unknown:
        return c.unknown
    most = f" of at most {_hz(c.highest)}" if c.highest else ""
    watts = f", up to {c.watts:.0f} W" if c.watts else ""
    held = f", held back by {', '.join(c.held_back_by)}" if c.held_back_by else ""
    return f"clock {_hz(c.low)} to {_hz(c.high)}{most} ({c.by}){watts}{held}"


def _shape(p: ProductRow) -> str:
    return " x ".join(map(str, p.shape))


def _words(kind: str) -> str:
    return kind.replace("_", "-")


def _flops(value: float | None, dtype: str) -> str:
    return format_si(value, "OP/s" if dtype.startswith("int") else "FLOP/s", 3) if value else "-"


def _bw(value: float | None) -> str:
    return format_si(value, "B/s", 3) if value else "-"


def _s(value: float | None) -> str:
    return format_si(value, "s", 3) if value else "-"


def _hz(value: float | None) -> str:
    return format_si(value, "Hz", 3) if value else "-"


def _pc(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
