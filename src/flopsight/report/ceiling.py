"""The answer of `ceiling`: what this machine reached, how steadily, and what it is the ceiling of."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report.value import Result


class ProductRow(msgspec.Struct, kw_only=True):
    """The fastest matrix product of a number format; `why` where it did not run."""

    dtype: str
    flops_per_s: float | None = None
    """At the fastest sample: the ceiling."""
    median_flops_per_s: float | None = None
    spread: float | None = None
    """(slowest - fastest) / median sample."""
    samples: int = 0
    shape: list[int] = msgspec.field(default_factory=list)
    """m, n, k of x[m, k] W[n, k]^T."""
    tried: int = 0
    of_datasheet: float | None = None
    of_clock: float | None = None
    """Share of units x FLOPs per unit and clock x the highest clock known."""
    why: str = ""


class BandwidthRow(msgspec.Struct, kw_only=True):
    """One direction at one working set."""

    direction: str
    size: int
    """Bytes over all threads; half of it source and half target for a copy."""
    level: str
    bytes_per_s: float
    median_bytes_per_s: float
    spread: float


class LevelRow(msgspec.Struct, kw_only=True):
    """A cache level or the memory, and the fastest point of each direction in it."""

    level: str
    bytes: int | None
    """Of all instances together; null for the memory."""
    read: float | None = None
    write: float | None = None
    copy: float | None = None


class LaunchRow(msgspec.Struct, kw_only=True):
    """Median seconds of one small op."""

    eager: float
    """One of many calls in a row from Python: the host's time, or the device's where that is longer."""
    alone: float
    """One call and the wait for it."""
    graph: float | None
    """One op of a replayed graph."""
    why_no_graph: str = ""


class CollectiveRow(msgspec.Struct, kw_only=True):
    """One collective at one message size, in the convention of NCCL-tests."""

    collective: str
    size: int
    bus_bytes_per_s: float | None
    median_bus_bytes_per_s: float | None
    seconds: float | None
    samples: int
    why: str = ""


class ClockRow(msgspec.Struct, kw_only=True):
    """The clock over the run, in Hz; `unknown` where it is not readable."""

    by: str = ""
    low: float | None = None
    median: float | None = None
    high: float | None = None
    highest: float | None = None
    """What the part reports as its most."""
    watts: float | None = None
    held_back_by: list[str] = msgspec.field(default_factory=list)
    unknown: str = ""


class CeilingResult(Result, kw_only=True):
    """Ceilings of one device, or the collectives between several."""

    command: str = "ceiling"
    device: str
    name: str
    chip: str | None = None
    threads: int = 0
    cores: int = 0
    quick: bool = False
    torch: str
    date: str
    products: list[ProductRow] = msgspec.field(default_factory=list)
    levels: list[LevelRow] = msgspec.field(default_factory=list)
    bandwidth: list[BandwidthRow] = msgspec.field(default_factory=list)
    launch: LaunchRow | None = None
    rank: int = 0
    ranks: int = 1
    backend: str = ""
    collectives: list[CollectiveRow] = msgspec.field(default_factory=list)
    clock: ClockRow | None = None
    drift: float | None = None
    """(fastest - slowest) / median of one product at the start, in the middle and at the end."""
    steal: float | None = None
    """Share of all processor time that the hypervisor gave to other guests."""
    others: float | None = None
    """Share of all processor time that other programs used."""
    warnings: list[str] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    saved: str = ""
    next: str = ""

    def headline(self) -> str:
        """The answer in one or two sentences."""
        from flopsight.report.draw_ceiling import headline

        return headline(self)

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The answer, the tables, what was unsteady, the method."""
        from flopsight.report.draw_ceiling import draw

        yield from draw(self)
