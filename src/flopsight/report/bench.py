"""The answer of `bench`: each phase and batch with its prediction beside its measurement, part by part."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report.value import Result


class BenchPart(msgspec.Struct, kw_only=True):
    """One place of the ledger in the fastest watched step, all copies together.

    `contains` names the ledger's parts that run inside of it and are no modules of their own.
    """

    path: str
    contains: list[str] = msgspec.field(default_factory=list)
    ns: int
    ns_by_pass: dict[str, int]
    predicted_s: float | None = None
    """None where neither the ledger nor the counter has any work for it."""
    bound_s: float | None = None
    """Light speed: the larger of FLOPs over the peak and bytes over the memory's bandwidth."""
    required: int = 0
    """Matrix FLOPs by the ledger."""
    counted: int | None = None
    """Required matrix FLOPs that the running program was counted to do."""
    bytes: float = 0.0
    """That must move at least once, by the ledger."""
    counted_bytes: int | None = None
    """That the program's ops read and wrote, caches left out of account."""
    ops: int | None = None
    """Ops that the program ran there."""
    intensity: float | None = None
    """Required FLOPs a byte."""
    of_bound: float | None = None
    """bound_s over the measured time."""
    binds: str = ""
    """compute, memory or overhead: the largest at light speed."""


class BenchCase(msgspec.Struct, kw_only=True):
    """One phase at one batch; seconds are of one step."""

    phase: str
    batch: int
    seq: int
    past: int
    tokens: int
    median_s: float
    best_s: float
    worst_s: float
    steps: int
    tokens_per_s: float
    predicted_s: float
    error: float
    """predicted / fastest measured - 1."""
    error_of_median: float
    bound_s: float
    binds: str
    required: int
    full_square: int
    counted_required: int | None
    counted_executed: int | None
    counted_agrees: bool | None
    """Whether the running program was counted to do the required FLOPs of the ledger, exactly."""
    not_counted: list[str]
    """Ops without a formula, or why nothing was counted."""
    bytes: float
    intensity: float
    mfu: float | None
    """Required FLOPs over the median time and the measured peak of this number format."""
    hfu: float | None
    mbu: float | None
    """Weights and cache that must move, over the median time and the measured bandwidth; None in training."""
    watched_ns: int
    """The fastest watched step: parts_ns and between_ns add up to it."""
    between_ns: int
    watched_steps: int
    whole_model_s: float | None = None
    """The median step of the whole model, every layer as long as those that ran; None where all ran."""
    parts: list[BenchPart]


class BenchResult(Result, kw_only=True):
    """What a model does on this device, and what was expected of it."""

    command: str = "bench"
    model: str
    device: str
    device_name: str
    chip: str | None = None
    using: str
    dtype: str
    dtype_chosen: bool
    layers: int
    all_layers: int
    why_layers: str = ""
    params: int
    threads: int
    torch: str
    date: str
    peak_flops_per_s: float | None
    bandwidth_bytes_per_s: float
    launch_s: float
    steal: float | None = None
    others: float | None = None
    cases: list[BenchCase]
    warnings: list[str] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    saved: str = ""
    next: str = ""

    def headline(self) -> str:
        """The answer, a sentence a case."""
        from flopsight.report.draw_bench import headline

        return headline(self)

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The answer, the cases, the parts of each, the method."""
        from flopsight.report.draw_bench import draw

        yield from draw(self)
