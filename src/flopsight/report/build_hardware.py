"""From the catalogue and the drivers to the answers of `hardware`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from flopsight.errors import UnknownHardware, UsageError
from flopsight.facts import Fact, Unknown
from flopsight.hardware.catalog import chips, node
from flopsight.hardware.chip import Chip, Known, Node
from flopsight.hardware.cpus import Cpu, cpus, find_cpu
from flopsight.hardware.detect import Detection
from flopsight.hardware.dtype_names import dtype_name
from flopsight.hardware.interconnect import Link, find_link, links
from flopsight.report.hardware import HardwareEntry, HardwareHere, HardwareList
from flopsight.report.hardware_rows import ChipEntry, ChipRow, CpuRow, DeviceRow, LinkRow, Match, PeakRow, Value

STATUSES = ("shipping", "legacy", "announced")
CPU_FORMATS = ("fp32", "bf16")

Files = Sequence[str | Path]


def listing(vendor: str | None, status: str | None, dtype: str, files: Files) -> HardwareList:
    """The chips, filtered."""
    if status is not None and status not in STATUSES:
        raise UsageError(f"The status is one of {', '.join(STATUSES)}; got {status!r}.")
    name = dtype_name(dtype)
    kept = [
        chip
        for chip in chips(files)
        if (vendor is None or chip.vendor.casefold() == vendor.casefold()) and status in (None, chip.status)
    ]
    rows = [_row(chip, name) for chip in kept]
    return HardwareList(listed="chips", dtype=name, chips=rows, next="flopsight hardware show NAME")


def other_listing(*, of_links: bool, dtype: str) -> HardwareList:
    """The links, or the processor families."""
    name = dtype_name(dtype)
    if of_links:
        found = [_link(link) for link in links()]
        return HardwareList(listed="links", dtype=name, links=found, next="flopsight hardware show nvlink4")
    others = [_cpu(cpu) for cpu in cpus()]
    return HardwareList(listed="cpus", dtype=name, cpus=others, next=f"flopsight hardware show {others[0].id}")


def entry(name: str, files: Files) -> HardwareEntry:
    """One entry of the catalogue."""
    found = _anything(name, files)
    if isinstance(found, Link):
        return HardwareEntry(link=_link(found), next="flopsight hardware list --links")
    if isinstance(found, Cpu):
        return HardwareEntry(cpu=_cpu(found), next="flopsight hardware list --cpus")
    return HardwareEntry(
        count=found.count, chip=_chip(found.chip), memory_bytes=_value(found.memory_bytes),
        next=f"flopsight hardware show {found.chip.id} --json",
    )  # fmt: skip


def here(found: Sequence[Detection]) -> HardwareHere:
    """What the drivers said."""
    matched = next((each.match.id for each in found if not isinstance(each.match, Unknown)), "NAME")
    return HardwareHere(devices=[_device(each) for each in found], next=f"flopsight hardware show {matched}")


def _anything(name: str, files: Files) -> Node | Link | Cpu:
    """A chip or node of this name, else a link, else a processor family; the chip's complaint if none."""
    try:
        return node(name, files)
    except UnknownHardware as complaint:
        for other in (find_link, find_cpu):
            try:
                return other(name)
            except UnknownHardware:
                continue
        raise complaint from None


def _value(known: Known) -> Value:
    return Value(**asdict(known)) if isinstance(known, Fact) else Value(unknown=known.why)


def _row(chip: Chip, dtype: str) -> ChipRow:
    return ChipRow(
        id=chip.id, name=chip.name, vendor=chip.vendor, kind=chip.kind, status=chip.status,
        software_devices=chip.software_devices, origin=chip.origin, peak=_value(chip.peak(dtype)),
        memory_bytes=_value(chip.memory_bytes), memory_bandwidth=_value(chip.memory_bandwidth()),
        memory_counted_in=chip.record.memory.counted_in,
    )  # fmt: skip


def _link(link: Link) -> LinkRow:
    return LinkRow(
        id=link.id, name=link.name, one_way=_value(link.one_way), both_ways=_value(link.both_ways),
        latency=_value(link.latency), record=link.record,
    )  # fmt: skip


def _cpu(cpu: Cpu) -> CpuRow:
    rates = {dtype: _value(cpu.flop_per_cycle(dtype)) for dtype in CPU_FORMATS}
    return CpuRow(id=cpu.id, name=cpu.name, flop_per_cycle=rates, record=cpu.record)


def _chip(chip: Chip) -> ChipEntry:
    peaks = [
        PeakRow(engine=engine, dtype=dtype, **{basis: _value(known) for basis, known in row.items()})
        for engine, dtype, row in chip.peaks()
    ]
    bandwidth = {
        "datasheet": _value(chip.memory_bandwidth()), "measured": _value(chip.memory_bandwidth("measured")),
    }  # fmt: skip
    return ChipEntry(origin=chip.origin, peaks=peaks, memory_bandwidth=bandwidth, record=chip.record)


def _device(found: Detection) -> DeviceRow:
    match = Match(unknown=found.match.why) if isinstance(found.match, Unknown) else Match(id=found.match.id)
    return DeviceRow(what=found.what, by=found.by, read=dict(found.read), match=match, notes=list(found.notes))
