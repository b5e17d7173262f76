"""`flopsight hardware`: list the catalogue, show one entry with its sources, or match this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from rich.console import Console

    from flopsight.facts import Fact, Unknown
    from flopsight.hardware.chip import Chip, Known, Node
    from flopsight.hardware.cpus import Cpu
    from flopsight.hardware.detect import Detection
    from flopsight.hardware.interconnect import Link

app = App(name="hardware", help="Look chips up, or match this machine's.", help_format="plaintext")

SCHEMA_VERSION = 1
MARKS = {"recalled": "?", "announced": "*", "assumed": "!", "measured": "", "derived": "", "stated": ""}
LEGEND = "? recalled, confirm it before quoting   * announced   ! no source named   - not known"

Flag = Annotated[bool, Parameter(negative=())]
Files = Annotated[list[Path] | None, Parameter(name="--hardware-file", negative=(), consume_multiple=False)]


@app.default
@app.command(name="list")
def list_(
    *,
    vendor: str | None = None,
    status: Literal["shipping", "legacy", "announced"] | None = None,
    dtype: str = "bf16",
    links: Flag = False,
    cpus: Flag = False,
    hardware_file: Files = None,
    json: Flag = False,
) -> None:
    """List the chips: dense matrix peak, memory and bandwidth of one unit.

    Parameters
    ----------
    vendor
        Only chips of this vendor.
    status
        Only chips that are shipping, legacy or announced.
    dtype
        The number format of the peak shown.
    links
        List links instead of chips.
    cpus
        List processor families instead of chips.
    hardware_file
        A chip file of your own; may be repeated.
    json
        Print JSON.
    """
    if links or cpus:
        _list_others(links=links, as_json=json)
        return
    from flopsight.hardware.catalog import chips
    from flopsight.hardware.dtype_names import dtype_name

    name = dtype_name(dtype)
    kept = [
        chip
        for chip in chips(hardware_file or ())
        if (vendor is None or chip.vendor.casefold() == vendor.casefold()) and status in (None, chip.status)
    ]
    if json:
        _print_json({"dtype": name, "chips": [_summary(chip, name) for chip in kept]})
        return
    _print_list(kept, name)


@app.command(name="show")
def show(name: str, *, hardware_file: Files = None, json: Flag = False) -> None:
    """Show a chip, a node ("8xH200"), a link or a processor family, every number with its source.

    Parameters
    ----------
    name
        An id, a driver's exact string, or a short name such as h100-sxm, tpu-v5e, nvlink4.
    hardware_file
        A chip file of your own; may be repeated.
    json
        Print JSON.
    """
    found = _anything(name, hardware_file or [])
    if json:
        _print_json(found.as_dict())
        return
    from flopsight.hardware.chip import Node

    if isinstance(found, Node):
        _print_node(found)
    else:
        _print_plain(found)


@app.command(name="here")
def here(*, jax: Flag = False, hardware_file: Files = None, json: Flag = False) -> None:
    """Match this machine's devices by the exact names their drivers report.

    Parameters
    ----------
    jax
        Import JAX and ask it, which may take seconds and hold a TPU.
    hardware_file
        A chip file of your own; may be repeated.
    json
        Print JSON.
    """
    from flopsight.hardware.detect import here as look

    found = look(ask_jax=jax, extra_files=hardware_file or ())
    if json:
        _print_json({"devices": [each.as_dict() for each in found]})
        return
    _print_here(found)


def _anything(name: str, files: list[Path]) -> Node | Link | Cpu:
    """A chip or node of this name, else a link, else a processor family; the chip's complaint if none."""
    from flopsight.errors import UnknownHardware
    from flopsight.hardware.catalog import node
    from flopsight.hardware.cpus import find_cpu
    from flopsight.hardware.interconnect import find_link

    try:
        return node(name, files)
    except UnknownHardware as complaint:
        for other in (find_link, find_cpu):
            try:
                return other(name)
            except UnknownHardware:
                continue
        raise complaint from None


def _summary(chip: Chip, dtype: str) -> dict[str, Any]:
    """One row of the list as plain data."""
    from flopsight.hardware.chip import known_dict

    facts = {"peak": chip.peak(dtype), "memory_bytes": chip.memory_bytes, "memory_bandwidth": chip.memory_bandwidth()}
    head = {"id": chip.id, "name": chip.name, "vendor": chip.vendor, "kind": chip.kind, "status": chip.status}
    more = {"software_devices": chip.software_devices, "origin": chip.origin}
    return head | more | {key: known_dict(known) for key, known in facts.items()}


def _print_json(body: dict[str, Any]) -> None:
    import msgspec

    text = msgspec.json.format(msgspec.json.encode({"schema_version": SCHEMA_VERSION, **body}), indent=2)
    sys.stdout.write(text.decode() + "\n")


def _console() -> Console:
    """Stdout as wide as the terminal, or 120 columns for a pipe; rich itself obeys NO_COLOR."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=120)


def _print_list(chips: list[Chip], dtype: str) -> None:
    from rich.table import Table

    console = _console()
    console.print(f"{len(chips)} chips; peaks are dense {dtype} matrix rates of one unit, from the data sheet.")
    table = Table("chip", f"{dtype} FLOP/s", "memory", "bandwidth", "status", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for chip in chips:
        memory = _cell(chip.memory_bytes, binary=chip.record.memory.counted_in == "GiB")
        table.add_row(chip.id, _cell(chip.peak(dtype)), memory, _cell(chip.memory_bandwidth()), chip.status)
    console.print(table)
    console.print(LEGEND)
    console.print("Next: flopsight hardware show NAME")


def _list_others(*, links: bool, as_json: bool) -> None:
    """The list of links or of processor families."""
    from rich.table import Table

    from flopsight.hardware.cpus import cpus
    from flopsight.hardware.interconnect import links as all_links

    if as_json:
        key, found = ("links", all_links()) if links else ("cpus", cpus())
        _print_json({key: [each.as_dict() for each in found]})
        return
    if links:
        table = Table("link", "one way", "per", "class", "status", box=None, pad_edge=False)
        for link in all_links():
            table.add_row(link.id, _cell(link.one_way), link.record.scope, link.record.kind, link.record.status)
    else:
        table = Table("processor family", "fp32 FLOP/cycle/core", "bf16", "instruction sets", box=None, pad_edge=False)
        for cpu in cpus():
            rates = [_cell(cpu.flop_per_cycle(dtype), plain=True) for dtype in ("fp32", "bf16")]
            table.add_row(cpu.id, *rates, ", ".join(cpu.record.isa))
    console = _console()
    console.print(table)
    console.print(LEGEND)


def _print_node(node: Node) -> None:
    """Answer first, then peaks, memory and links, what is disputed, and the names."""
    chip, console = node.chip, _console()
    console.print(_answer(node))
    for line in _about(chip):
        console.print(f"  {line}")
    console.print()
    cited: dict[str, int] = {}
    console.print(_peaks_table(chip, cited))
    console.print(LEGEND)
    for line in _asides(chip):
        console.print(line)
    console.print()
    console.print(_facts_table(chip, cited))
    console.print()
    for source, number in cited.items():
        console.print(f"[{number}] {source}")
    _print_conflicts(chip, console)
    for note in chip.record.notes:
        console.print(f"Note: {note}")
    console.print(_names_line(chip))
    console.print(f"Next: flopsight hardware show {chip.id} --json for every source and measurement")


def _answer(node: Node) -> str:
    """One sentence: what it is, its leading matrix peak, its memory."""
    from flopsight.facts import Fact

    peaks = ((dtype, node.peak(dtype)) for dtype in ("bf16", "fp16", "bfp8", "int8"))
    leading = next(((dtype, known) for dtype, known in peaks if isinstance(known, Fact)), None)
    peak = f"{_cell(leading[1])} dense {leading[0]}" if leading else "no dense matrix rate published"
    binary = node.chip.record.memory.counted_in == "GiB"
    return f"{node.label}: {peak}, {_cell(node.memory_bytes, binary=binary)} at {_cell(node.memory_bandwidth())}."


def _about(chip: Chip) -> list[str]:
    """Lines of identity: form, units, clocks, and what a framework shows as a device."""
    from flopsight.units import format_si

    record = chip.record
    first = [
        record.architecture.name,
        record.form_factor,
        chip.status,
        record.released and f"released {record.released}",
    ]
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


def _peaks_table(chip: Chip, cited: dict[str, int]) -> Any:  # noqa: ANN401 - a rich table, which is imported late
    from rich.table import Table

    table = Table("one unit, dense", "data sheet", "clock", "measured", "how known", "from", box=None, pad_edge=False)
    for engine, dtype, row in chip.peaks():
        stated = row["datasheet"]
        cells = [_cell(row[basis]) for basis in ("datasheet", "clock", "measured")]
        cells[2] = " ".join(filter(None, (cells[2], _provenance(row["measured"], cited)[1])))
        table.add_row(f"{engine} {dtype}", *cells, *_provenance(stated, cited))
    return table


def _asides(chip: Chip) -> list[str]:
    """What is printed about peaks and is no dense data-sheet peak: sparse, other bases, headlines, open rates."""
    from flopsight.units import format_si

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


def _facts_table(chip: Chip, cited: dict[str, int]) -> Any:  # noqa: ANN401 - a rich table, which is imported late
    from rich.table import Table

    from flopsight.facts import Unknown

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
    table = Table("memory, links, power", "value", "how known", "from", "note", box=None, pad_edge=False)
    for what, known, iec in rows:
        note = "" if isinstance(known, Unknown) else known.note
        table.add_row(what, _cell(known, binary=iec), *_provenance(known, cited), note)
    return table


def _print_conflicts(chip: Chip, console: Console) -> None:
    if chip.record.conflicts:
        console.print()
        console.print("Sources disagree:")
    for each in chip.record.conflicts:
        others = "; ".join(f"{_number(other.value)} ({other.source})" for other in each.values)
        console.print(f"  {each.field}: {_number(each.chosen)} here, {others}. {each.resolution}")


def _names_line(chip: Chip) -> str:
    from flopsight.hardware.catalog import all_driver_names

    exact = sorted(all_driver_names(chip) - set(chip.record.names.ambiguous))
    shared = ", ".join(repr(name) for name in chip.record.names.ambiguous)
    known = ", ".join(repr(name) for name in exact) or "no exact string is known"
    return f"Drivers report: {known}" + (f"; shared with other parts: {shared}" if shared else "")


def _print_plain(found: Link | Cpu) -> None:
    """A link or a processor family: its sentence, then its fields."""
    from rich.table import Table

    from flopsight.hardware.interconnect import Link

    console = _console()
    if isinstance(found, Link):
        console.print(
            f"{found.name}: {_cell(found.one_way)} one way, {_cell(found.both_ways)} both ways, {found.record.scope}."
        )
        console.print(f"Latency: {_cell(found.latency)}")
    else:
        console.print(f"{found.name}: {_cell(found.flop_per_cycle('fp32'), plain=True)} fp32 FLOP per cycle and core.")
    table = Table("field", "value", box=None, pad_edge=False)
    for key, value in found.as_dict().items():
        table.add_row(key, _flat(value))
    console.print(table)


def _print_here(found: list[Detection]) -> None:
    """What matches, then what was read, then what was looked for in vain."""
    from flopsight.facts import Unknown

    console = _console()
    known = [each for each in found if not isinstance(each.match, Unknown)]
    console.print(f"{len(known)} of {sum(each.found for each in found)} devices here match the catalogue.")
    for each in found:
        what = each.match.why if isinstance(each.match, Unknown) else each.match.id
        console.print(f"{each.what} ({each.by}): {what}")
        if each.read:
            console.print("  read: " + ", ".join(f"{key} {value}" for key, value in each.read.items()))
        for note in each.notes:
            console.print(f"  {note}")
    matched = next((each.match.id for each in known if not isinstance(each.match, Unknown)), "NAME")
    console.print(f"Next: flopsight hardware show {matched}")


def _cell(known: Known, *, binary: bool = False, plain: bool = False) -> str:
    """A number with its unit and mark, or "-"."""
    from flopsight.facts import Unknown
    from flopsight.units import format_iec, format_si

    if isinstance(known, Unknown):
        return "-"
    mark = MARKS.get(known.kind, "")
    if plain:
        return f"{known.value}{mark}"
    return (format_iec(known.value) if binary else format_si(known.value, known.unit)) + mark


def _provenance(known: Fact | Unknown, cited: dict[str, int]) -> tuple[str, str]:
    """How a number is known, and the number of its source in the list `cited`, which grows."""
    from flopsight.facts import Unknown

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
