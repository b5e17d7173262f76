"""From measured ceilings to the answer of `ceiling`, and to the user's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flopsight.ceiling.bandwidth import DIRECTIONS
from flopsight.ceiling.caches import MEMORY
from flopsight.ceiling.clocks import Clock
from flopsight.ceiling.collectives import Collective, Exchange
from flopsight.ceiling.record import chip_of
from flopsight.ceiling.rows import exchange_rows, rows
from flopsight.ceiling.run import Found
from flopsight.ceiling.saving import Saved, check_folder, save
from flopsight.ceiling.values import Product
from flopsight.errors import UsageError
from flopsight.facts import Fact, Unknown
from flopsight.hardware.chip import Chip
from flopsight.hardware.detect import cpu_here
from flopsight.hardware.signature import family_of
from flopsight.predict.corrections import write
from flopsight.report.ceiling import (
    BandwidthRow,
    CeilingResult,
    ClockRow,
    CollectiveRow,
    LaunchRow,
    LevelRow,
    ProductRow,
)
from flopsight.stopwatch import TorchDevice

UNSTEADY: Final = 0.15
"""A median so far below the best sample is worth a word."""
DRIFTED: Final = 0.1
TAKEN: Final = 0.05
STOLEN: Final = 0.02
ABOVE: Final = 1.02
"""Times its clock peak that a product can reach by the clock's own error."""


def build(found: Found) -> CeilingResult:
    """Everything measured of one device."""
    chip = chip_of(found.device)
    known = chip if isinstance(chip, Chip) else None
    products = [_product(p, found, known) for p in found.products]
    shares = None if isinstance(found.neighbours, Unknown) else found.neighbours
    return CeilingResult(
        device=found.device, name=_name(found), chip=known.id if known else None, threads=found.threads,
        cores=found.cores, quick=found.quick, torch=found.torch, date=found.date, products=products,
        levels=_levels(found), bandwidth=_bandwidth(found), launch=_launch(found), clock=_clock(found.clock),
        drift=found.drifted if found.drift else None, steal=shares.steal if shares else None,
        others=shares.others if shares else None, warnings=list(_warnings(found, products)),
        notes=list(_notes(found, chip)), next=_next(found, known),
    )  # fmt: skip


def build_exchange(found: Exchange) -> CeilingResult:
    """The collectives between the ranks of a group."""
    return CeilingResult(
        device=found.device, name=found.name, quick=found.quick, torch=found.torch, date=found.date, rank=found.rank,
        ranks=found.ranks, backend=found.backend, collectives=[_collective(c) for c in found.rows],
        next="flopsight ceiling --save",
    )  # fmt: skip


def check(*, save: bool, out: str | Path | None) -> None:
    """Before long measurements: UsageError where their result could not be written."""
    if save:
        check_folder()
    if out is not None and not Path(out).absolute().parent.is_dir():
        raise UsageError(f"{out} cannot be written: {Path(out).absolute().parent} is no folder.")


def keep(result: CeilingResult, saved: Saved | None, out: str | Path | None) -> CeilingResult:
    """Say where it was saved, and write the JSON where it was asked for; UsageError where that cannot be done."""
    if saved:
        result.saved, result.chip = str(saved.path), saved.id
        result.next = f"flopsight hardware show {saved.id}"
    if out is not None:
        write(Path(out), result.to_json(indent=1).encode())
    return result


def save_found(found: Found) -> Saved:
    """Keep the ceilings of a device in the user's folder."""
    caches = {level.name: level.total for level in found.levels}
    return save(TorchDevice(found.device), rows(found), caches, _highest(found))


def save_exchange(found: Exchange) -> Saved:
    """Keep the bus bandwidths beside the device's other ceilings."""
    return save(TorchDevice(found.device), exchange_rows(found), {}, None)


def _name(found: Found) -> str:
    if found.device.partition(":")[0] != "cpu":
        return found.name
    return str(cpu_here().read.get("name", "CPU"))


def _highest(found: Found) -> float | None:
    return None if isinstance(found.clock, Unknown) else found.clock.highest


def _product(p: Product, found: Found, chip: Chip | None) -> ProductRow:
    if p.time is None or p.shape is None:
        return ProductRow(dtype=p.dtype, why=p.why)
    stated = chip.peak(p.dtype) if chip else Unknown("")
    clock = _clock_peak(p.dtype, found, chip)
    return ProductRow(
        dtype=p.dtype, flops_per_s=p.best, median_flops_per_s=p.median, spread=p.time.spread, samples=p.time.samples,
        shape=list(p.shape), tried=p.tried, of_datasheet=p.best / stated.value if isinstance(stated, Fact) else None,
        of_clock=p.best / clock if clock else None,
    )  # fmt: skip


def _clock_peak(dtype: str, found: Found, chip: Chip | None) -> float | None:
    """Units x FLOPs per unit and clock x the highest clock; of a processor only where the clock is readable."""
    if found.device.partition(":")[0] != "cpu":
        known = chip.peak(dtype, basis="clock") if chip else Unknown("")
        return float(known.value) if isinstance(known, Fact) else None
    read, highest = cpu_here().read, _highest(found)
    family, cores = family_of(read), int(read.get("cores") or 0)
    if isinstance(family, Unknown) or not highest or not cores or dtype == "fp8":
        return None
    peaks = [family.peak(dtype, cores=cores, clock_hz=highest, isa=isa) for isa in str(read.get("isa", "")).split()]
    return max((float(each.value) for each in peaks if isinstance(each, Fact)), default=None)


def _levels(found: Found) -> list[LevelRow]:
    sizes = {level.name: level.total for level in found.levels}
    best = {key: point.best for key, point in found.plateaus.items()}
    names = dict.fromkeys(level for level, _ in best)
    return [
        LevelRow(level=name, bytes=sizes.get(name), **{d: best.get((name, d)) for d in DIRECTIONS}) for name in names
    ]


def _bandwidth(found: Found) -> list[BandwidthRow]:
    return [
        BandwidthRow(
            direction=p.direction, size=p.size, level=p.level, bytes_per_s=p.best, median_bytes_per_s=p.median,
            spread=p.time.spread,
        )
        for p in found.points
    ]  # fmt: skip


def _launch(found: Found) -> LaunchRow:
    cost = found.launch
    graph = cost.graph.median if cost.graph else None
    return LaunchRow(eager=cost.eager.median, alone=cost.alone.median, graph=graph, why_no_graph=cost.why)


def _clock(clock: Clock | Unknown) -> ClockRow:
    if isinstance(clock, Unknown):
        return ClockRow(unknown=clock.why)
    return ClockRow(
        by=clock.by, low=clock.low, median=clock.median, high=clock.high, highest=clock.highest, watts=clock.watts,
        held_back_by=list(clock.held),
    )  # fmt: skip


def _collective(c: Collective) -> CollectiveRow:
    return CollectiveRow(
        collective=c.kind, size=c.size, bus_bytes_per_s=c.bus or None, median_bus_bytes_per_s=c.bus_median or None,
        seconds=c.time.best if c.time else None, samples=c.time.samples if c.time else 0, why=c.why,
    )  # fmt: skip


def _warnings(found: Found, products: list[ProductRow]) -> Iterator[str]:
    """What makes the numbers less than a ceiling, or more than one."""
    shares = found.neighbours
    if not isinstance(shares, Unknown) and shares.steal > STOLEN:
        yield f"the hypervisor gave {shares.steal:.0%} of the processors' time to other guests"
    if not isinstance(shares, Unknown) and shares.others > TAKEN:
        yield f"other programs used {shares.others:.0%} of the processors' time; measure again when nothing else runs"
    if found.drift and found.drifted > DRIFTED:
        yield f"the same product differed by {found.drifted:.0%} between start, middle and end"
    unsteady = [p.dtype for p in found.products if p.time and p.median < (1 - UNSTEADY) * p.best]
    if unsteady:
        yield f"medians are more than {UNSTEADY:.0%} under the best in {', '.join(unsteady)}"
    if found.threads and found.threads < found.cores:
        yield f"{found.threads} of {found.cores} processors were used (OMP_NUM_THREADS): no ceiling of the machine"
    for p in products:
        if p.of_clock and p.of_clock > ABOVE:
            yield f"{p.dtype} is {p.of_clock:.0%} of units x rate x highest clock, so one of these is not as recorded"
    if not isinstance(found.clock, Unknown) and found.clock.held:
        yield f"the device was held back: {', '.join(found.clock.held)}"


def _notes(found: Found, chip: Chip | Unknown) -> Iterator[str]:
    """What is missing from the answer, and why."""
    if isinstance(chip, Unknown) and found.device.partition(":")[0] != "cpu":
        yield f"No data sheet beside it: {chip.why}."
    if not any(point.level == MEMORY for point in found.points):
        yield "The main memory was not reached: too little of it is free for a working set beyond the caches."


def _next(found: Found, chip: Chip | None) -> str:
    if chip is None:
        return f"flopsight ceiling --device {found.device} --save"
    return f"flopsight mfu MODEL --tokens-per-s N --on {chip.id} --basis measured"
