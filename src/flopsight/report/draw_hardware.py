"""How the answers of `hardware` look: tables whose numbers carry a mark and cite their sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET

from flopsight.facts import Fact, Unknown
from flopsight.hardware.catalog import all_driver_names
from flopsight.hardware.chip import Basis, Chip, Known, Node
from flopsight.report.hardware_rows import ChipRow, CpuRow, DeviceRow, LinkRow, Value
from flopsight.units import format_iec, format_si

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

MARKS = {"recalled": "?", "announced": "*", "assumed": "!", "measured": "", "derived": "", "stated": ""}
_WORDS: Final[tuple[tuple[Basis, str], ...]] = (("datasheet", ""), ("measured", " (measured)"))
LEGEND = "? recalled, confirm it before quoting   * announced   ! no source named   - not known"


def text(line: str = "") -> Text:
    """A line as it is, with nothing in it taken for markup."""
    from rich.text import Text

    return Text(line)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    return table


def _add(table: Table, *cells: str) -> None:
    """A row of plain text: names and sources may hold brackets, which rich would take for markup."""
    table.add_row(*map(text, cells))


# ---------------------------------------------------------------- lists


def chips(rows: Sequence[ChipRow], dtype: str) -> Table:
    """Peak, memory and bandwidth of each chip."""
    table = _table("chip", f"{dtype} FLOP/s", "memory", "bandwidth", "status")
    for chip in rows:
        memory = cell(chip.memory_bytes, binary=chip.memory_counted_in == "GiB")
        _add(table, chip.id, cell(chip.peak), memory, cell(chip.memory_bandwidth), chip.status)
    return table


def links(rows: Sequence[LinkRow]) -> Table:
    """One-way rate of each link, and per what."""
    table = _table("link", "one way", "per", "class", "status")
    for link in rows:
        _add(table, link.id, cell(link.one_way), link.record.scope, link.record.kind, link.record.status)
    return table


def cpus(rows: Sequence[CpuRow]) -> Table:
    """Rates of one core of each processor family."""
    table = _table("processor family", "fp32 FLOP/cycle/core", "bf16", "instruction sets")
    for cpu in rows:
        rates = [cell(cpu.flop_per_cycle[dtype], plain=True) for dtype in ("fp32", "bf16")]
        _add(table, cpu.id, *rates, ", ".join(cpu.record.isa))
    return table


# ---------------------------------------------------------------- one entry


def chip_page(chip: Chip) -> Iterator[RenderableType]:
    """What it is, peaks, memory and links, sources, what is disputed, and the names."""
    for line in _about(chip):
        yield text(f"  {line}")
    yield text()
    cited: dict[str, int] = {}
    yield _peaks_table(chip, cited)
    yield text(LEGEND)
    for line in _asides(chip):
        yield text(line)
    yield text()
    yield _facts_table(chip, cited)
    yield text()
    for source, number in cited.items():
        yield text(f"[{number}] {source}")
    for line in _conflicts(chip):
        yield text(line)
    for note in chip.record.notes:
        yield text(f"Note: {note}")
    yield text(_names_line(chip))


def answer(node: Node) -> str:
    """One sentence: what it is, its leading matrix peak, its memory; as measured where no data sheet says it."""
    peaks = [(d, word, node.peak(d, basis=b)) for b, word in _WORDS for d in ("bf16", "fp16", "bfp8", "int8")]
    leading = next(((d, word, known) for d, word, known in peaks if isinstance(known, Fact)), None)
    peak = f"{cell(leading[2])} dense {leading[0]}{leading[1]}" if leading else "no dense matrix rate published"
    binary = node.chip.record.memory.counted_in == "GiB"
    rates = ((word, node.memory_bandwidth(basis)) for basis, word in _WORDS)
    word, rate = next(((word, known) for word, known in rates if isinstance(known, Fact)), ("", Unknown("")))
    return f"{node.label}: {peak}, {cell(node.memory_bytes, binary=binary)} at {cell(rate)}{word}."


def _about(chip: Chip) -> list[str]:
    """Lines of identity: form, units, clocks, and what a framework shows as a device."""
    record = chip.record
    released = f"released {record.released}" if record.released else ""
    first = [record.architecture.name, record.form_factor, chip.status, released]
    units = f"{record.units.count} {record.units.kind}" if record.units.count else ""
    clocks = [
        ("base", record.clock.base),
        ("highest", record.clock.boost_max),
        ("of the published peak", record.clock.peak_basis),
    ]
    second = [units, *(f"{format_si(hz, 'Hz')} {what}" for what, hz in clocks if hz)]
    lines = [", ".join(filter(None, first)), ", ".join(filter(None, second))]
    if chip.software_devices > 1:
        why = record.software_devices_note
        lines.append(
            f"A framework shows {chip.software_devices} devices for one: divide its peak among them. {why}".strip()
        )
    if chip.origin != "catalogue":
        lines.append(f"From {chip.origin}")
    return [line for line in lines if line]


def _peaks_table(chip: Chip, cited: dict[str, int]) -> Table:
    table = _table("one unit, dense", "data sheet", "clock", "measured", "how known", "from")
    for engine, dtype, row in chip.peaks():
        stated = row["datasheet"]
        cells = [cell(row[basis]) for basis in ("datasheet", "clock", "measured")]
        cells[2] = " ".join(filter(None, (cells[2], _provenance(row["measured"], cited)[1])))
        _add(table, f"{engine} {dtype}", *cells, *_provenance(stated, cited))
    return table


def _asides(chip: Chip) -> list[str]:
    """What is printed about peaks and is no dense data-sheet peak: sparse, other bases, headlines, open rates."""
    peak, sparsity = chip.record.peak, chip.record.sparsity
    lines = [
        f"Also defensible for {each.dtype}: {format_si(each.rate, 'FLOP/s')}, {each.basis}"
        for each in peak.alternatives
    ]
    if sparsity.multiplier is not None:
        lines.append(
            f"With structured sparsity {sparsity.pattern}: {sparsity.multiplier} x {', '.join(sparsity.dtypes)}"
        )
    if sparsity.note:
        lines.append(f"Sparsity: {sparsity.note}")
    if peak.headline:
        lines.append(
            f"In print: {format_si(peak.headline.rate, 'FLOP/s')} {peak.headline.dtype}, {peak.headline.qualifier}"
        )
    if peak.unrated:
        lines.append(f"Computed, with no settled dense rate: {', '.join(peak.unrated)}")
    if chip.record.check and chip.record.check.because:
        lines.append(f"Units x clock does not give the data sheet: {chip.record.check.because}")
    return lines


def _facts_table(chip: Chip, cited: dict[str, int]) -> Table:
    binary = chip.record.memory.counted_in == "GiB"
    rows: list[tuple[str, Known, bool]] = [
        ("memory", chip.memory_bytes, binary),
        ("memory the driver shows", chip.visible_bytes, True),
        ("memory bandwidth", chip.memory_bandwidth(), False),
        ("memory bandwidth, measured", chip.memory_bandwidth("measured"), False),
        ("host link, one way", chip.host_link, False),
        ("scale-out, one way", chip.scale_out, False),
        ("power", chip.power, False),
    ]
    if not isinstance(fabric := chip.fabric, Unknown):
        rows += [(f"{fabric.name}, one way", fabric.one_way, False), ("between two chips", fabric.pair, False)]
    table = _table("memory, links, power", "value", "how known", "from", "note")
    for what, known, iec in rows:
        note = "" if isinstance(known, Unknown) else known.note
        _add(table, what, cell(known, binary=iec), *_provenance(known, cited), note)
    return table


def _conflicts(chip: Chip) -> Iterator[str]:
    if chip.record.conflicts:
        yield ""
        yield "Sources disagree:"
    for each in chip.record.conflicts:
        others = "; ".join(f"{_number(other.value)} ({other.source})" for other in each.values)
        yield f"  {each.field}: {_number(each.chosen)} here, {others}. {each.resolution}"


def _names_line(chip: Chip) -> str:
    exact = sorted(all_driver_names(chip) - set(chip.record.names.ambiguous))
    shared = ", ".join(repr(name) for name in chip.record.names.ambiguous)
    known = ", ".join(repr(name) for name in exact) or "no exact string is known"
    return f"Drivers report: {known}" + (f"; shared with other parts: {shared}" if shared else "")


def fields(row: LinkRow | CpuRow) -> Table:
    """A link or a processor family: the fields of its record."""
    table = _table("field", "value")
    for key, value in msgspec.to_builtins(row.record).items():
        _add(table, key, _flat(value))
    return table


# ---------------------------------------------------------------- this machine


def device_lines(devices: Sequence[DeviceRow]) -> Iterator[str]:
    """What matches and what was read; what was looked for in vain says why."""
    for device in devices:
        yield f"{device.what} ({device.by}): {device.match.unknown if device.match.id is UNSET else device.match.id}"
        if device.read:
            yield "  read: " + ", ".join(f"{key} {value}" for key, value in device.read.items())
        yield from (f"  {note}" for note in device.notes)


# ---------------------------------------------------------------- numbers


def cell(known: Known | Value, *, binary: bool = False, plain: bool = False) -> str:
    """A number with its unit and mark, or "-"."""
    if isinstance(known, Unknown) or known.value is UNSET:
        return "-"
    mark = MARKS.get(str(known.kind), "")
    if plain:
        return f"{known.value}{mark}"
    return (format_iec(known.value) if binary else format_si(known.value, str(known.unit))) + mark


def _provenance(known: Known, cited: dict[str, int]) -> tuple[str, str]:
    """How a number is known, and the number of its source in the list `cited`, which grows."""
    if isinstance(known, Unknown):
        return "", ""
    source = f"{known.source} {known.edition}".strip()
    return known.kind, f"[{cited.setdefault(source, len(cited) + 1)}]" if source else ""


def _number(value: float | str | None) -> str:
    return f"{value:.6g}" if isinstance(value, (int, float)) else str(value)


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "; ".join(_flat(item) for item in value)
    return str(value)
