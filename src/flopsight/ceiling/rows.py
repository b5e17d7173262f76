"""What was measured, as the rows of a chip record: each with its date, its software, its command and its protocol."""

from __future__ import annotations

from collections.abc import Iterator

from flopsight.ceiling.collectives import Exchange
from flopsight.ceiling.run import Found
from flopsight.ceiling.values import Bandwidth, Product
from flopsight.hardware.chip import OWN
from flopsight.hardware.record import Measured, Source
from flopsight.stopwatch import Spread

PROTOCOL = "fastest sample after a warm-up, each a batch of calls, the device waited for"


def command_of(found: Found) -> str:
    """The command that measures the same again."""
    return f"flopsight ceiling --device {found.device}" + (" --quick" if found.quick else "") + " --save"


def rows(found: Found) -> Iterator[Measured]:
    """Products, bandwidths by level, and launches."""
    source = Source(ref=command_of(found), kind=OWN, date=found.date, what=PROTOCOL)
    software, threads = f"torch {found.torch}", found.threads or None
    for p in found.products:
        if p.time and p.shape:
            yield Measured(
                metric=f"matmul_{p.dtype}", source=source, rate=round(p.best), shape="x".join(map(str, p.shape)),
                software=software, method=_searched(p), note=_spread(p.time), threads=threads,
            )  # fmt: skip
    for (level, direction), point in found.plateaus.items():
        yield Measured(
            metric=f"{level.lower()}_{direction}", source=source, bandwidth=round(point.best), software=software,
            method=_counted(point), note=_spread(point.time), threads=threads,
        )  # fmt: skip
    costs = {"launch": found.launch.eager, "launch_alone": found.launch.alone, "launch_graph": found.launch.graph}
    for name, cost in costs.items():
        if cost:
            yield Measured(
                metric=name, source=source, seconds=float(f"{cost.median:.4g}"), software=software,
                method="median of adding one to one element", note=_spread(cost),
            )  # fmt: skip


def exchange_rows(found: Exchange) -> Iterator[Measured]:
    """The fastest message of each collective."""
    command = f"torchrun --nproc-per-node {found.ranks} -m flopsight ceiling --device {found.device} --save"
    source = Source(ref=command, kind=OWN, date=found.date, what="bus bandwidth as NCCL-tests has it")
    for kind in dict.fromkeys(row.kind for row in found.rows if row.time):
        best = max((row for row in found.rows if row.kind == kind), key=lambda row: row.bus)
        if best.time:
            yield Measured(
                metric=f"{kind}_busbw", source=source, bandwidth=round(best.bus), software=f"torch {found.torch}",
                algorithm=found.backend, note=_spread(best.time), ranks=found.ranks, message=best.size,
            )  # fmt: skip


def _searched(p: Product) -> str:
    return (
        f"best of {p.tried} shapes, x W^T, normal random numbers" if p.dtype != "int8" else f"best of {p.tried} shapes"
    )


def _counted(point: Bandwidth) -> str:
    counted = {"read": "bytes read once", "write": "bytes written", "copy": "bytes read and written"}
    return f"{point.size // 1024:,} KiB over all threads; {counted[point.direction]}, no write-allocate traffic"


def _spread(time: Spread) -> str:
    return f"median {time.median / time.best - 1:.0%} slower than the best of {time.samples} samples"
