"""The answer of `trace`: what was achieved, by whom, and where the rest of the time went."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report.value import Result


class DeviceRow(msgspec.Struct, kw_only=True):
    """One device over all of its activity in the file (not only the steps)."""

    name: str
    id: int
    kernels: int
    kernel_sum_us: float
    """Durations added up: overlaps count twice."""
    busy_us: float
    """Union of kernels, copies and fills."""
    span_us: float
    """From the first start to the last end."""
    idle_fraction: float | None
    """1 - busy / span; null where no activity was recorded."""
    comm_us: float
    """Union of communication kernels; `comm_kernels` of them."""
    comm_kernels: int
    exposed_comm_us: float
    """The part that no computing hides."""


class PartRow(msgspec.Struct, kw_only=True):
    """A kind of work or a cause of idleness, in the steps."""

    part: str
    us: float
    share: float


class FlopsRow(msgspec.Struct, kw_only=True):
    """FLOPs of matrix products in the steps, by recorded shapes."""

    required: int
    full_square: int
    executed: int
    by_dtype: dict[str, int]
    """Executed."""


class WitnessRow(msgspec.Struct, kw_only=True):
    """A quantity as one source has it."""

    witness: str
    quantity: str
    value: float | None
    trust: str
    engine: str = ""
    dtype: str = ""
    over: str = ""
    formula: str = ""
    why: str = ""


class CounterRow(msgspec.Struct, kw_only=True):
    """One hardware counter."""

    name: str
    unit: str
    labels: dict[str, str]
    over: str
    """"kernels" (summed; percentages averaged), "time" (mean) or "run"."""
    value: float | None
    """Null where it was not collected; `why` may say more."""
    known: float
    """Share of kernels or moments with a value."""
    why: str = ""


class CoverageRow(msgspec.Struct, kw_only=True):
    """Shares of kernel time that are accounted for; null where there is none."""

    flops: float | None
    """Of the time of kernels that multiply matrices: with FLOPs."""
    cost: float | None
    """Of all computing: with FLOPs or bytes."""
    bytes: float | None
    op: float | None
    module: float | None


class UtilizationRow(msgspec.Struct, kw_only=True):
    """Achieved over peak, in the steps; null where a side is not known, and `why`."""

    window_us: float
    achieved_flops_per_s: float | None = None
    """Required FLOPs over the window."""
    mfu: float | None = None
    hfu: float | None = None
    busy: float | None = None
    peak_flops_per_s: float | None = None
    peak_source: str = ""
    basis: str = ""
    dtype: str = ""
    why: str = ""


class OpRow(msgspec.Struct, kw_only=True):
    """All calls of an op with the same shapes."""

    op: str
    kind: str
    shapes: str
    dtype: str
    calls: int
    us: float
    share: float
    """Of kernel time."""
    flops: int
    bytes: int | None
    flops_per_s: float | None
    bytes_per_s: float | None
    intensity: float | None
    roof: float | None
    """Share of what the roofline allows at this intensity; `roof_measured` with the highest rates ever published."""
    roof_measured: float | None
    bound: str
    kernel: str
    findings: list[str] = msgspec.field(default_factory=list)


class ModuleRow(msgspec.Struct, kw_only=True):
    """Calls of modules of one path (numbers of repeated layers as *)."""

    path: str
    calls: int
    us: float
    share: float
    flops: int


class BesideRow(msgspec.Struct, kw_only=True):
    """One part of the model, all layers of a step together: predicted beside achieved."""

    part: str
    predicted_us: float | None
    achieved_us: float
    ledger_flops: int
    counted_flops: int
    calls: int


class KernelRow(msgspec.Struct, kw_only=True):
    """Kernels of one name."""

    name: str
    kind: str
    count: int
    us: float
    share: float
    modelled: bool


class WindowRow(msgspec.Struct, kw_only=True):
    """One step on one device."""

    name: str
    device: int
    us: float
    host_us: float
    busy: float
    idle: float
    exposed_comm: float


class RankRow(msgspec.Struct, kw_only=True):
    """One rank of the job, beside the others."""

    source: str
    rank: int | None
    us: float
    busy: float | None
    compute_us: float
    comm_us: float
    exposed_comm_us: float
    idle_us: float
    flops: int


class UnreadRow(msgspec.Struct, kw_only=True):
    """Something in the file that is in no number."""

    what: str
    count: int
    why: str


class OneTrace(msgspec.Struct, kw_only=True):
    """Everything about one file or rank."""

    source: str
    format: str
    rank: int | None
    device_side: bool
    device: DeviceRow | None
    devices: list[DeviceRow]
    windows: list[WindowRow]
    parts: list[PartRow]
    hidden: dict[str, float]
    flops: FlopsRow
    witnesses: list[WitnessRow]
    counters: list[CounterRow]
    coverage: CoverageRow
    utilization: UtilizationRow
    ops: list[OpRow]
    modules: list[ModuleRow]
    beside: list[BesideRow]
    beside_of: str
    """The workload that was told from the trace, or why nothing is set beside it."""
    kernels: list[KernelRow]
    unmodelled: list[KernelRow]
    unread: list[UnreadRow]
    notes: list[str]


class TraceResult(Result, kw_only=True):
    """`device`, `flops`, `coverage`, `utilization`, `unread` are those of the first trace; `traces` holds all."""

    verdict: str
    device: DeviceRow | None
    flops: FlopsRow
    coverage: CoverageRow
    utilization: UtilizationRow
    unread: list[UnreadRow]
    traces: list[OneTrace]
    ranks: list[RankRow]
    rank_notes: list[str]
    model: str = ""
    next: str = ""

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The verdict, then tables."""
        from flopsight.report.draw_trace import draw

        return draw(self)
