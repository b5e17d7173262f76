"""The answer of `plan`: the best layout, the next one and why it lost, the front, and how to launch it."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report.can import Range
from flopsight.report.value import Result


class LayoutRow(msgspec.Struct, kw_only=True):
    """How devices share the work."""

    name: str
    tp: int
    pp: int
    dp: int
    ep: int
    etp: int
    copies: int
    """Independent servers; 1 in training."""
    idle: int
    """Devices without work."""
    cp: int = 1
    zero: int = 0
    hsdp: int = 1
    vp: int = 1
    recompute: str = "none"
    micro_batch: int = 0
    """Of training; 0 in serving."""


class ServingRow(msgspec.Struct, kw_only=True):
    """A layout at its best load."""

    layout: LayoutRow
    weights: str
    """Format that dense weights are stored in."""
    kv: str
    concurrency: float
    """Requests in flight, all over the machine."""
    running: float
    """Of them, those that decode."""
    ttft: Range
    tpot: Range
    tokens_per_s: Range
    """Output tokens, of all devices."""
    tokens_per_s_per_device: float
    tokens_per_s_per_user: float
    chance_ttft: float | None
    """That a measurement keeps what was promised; null where nothing is."""
    chance_tpot: float | None
    bound: str
    """What ends its load: tpot, ttft, cache, asked, or gain (more requests would only wait)."""
    weight_bytes: float
    """Of one device."""
    room: float
    """Requests whose cache fits, all over the machine."""
    causes: dict[str, float]
    """Device-seconds of one output token, idle devices too."""


class TrainingRow(msgspec.Struct, kw_only=True):
    """A layout with its fastest micro-batch, recompute and schedule."""

    layout: LayoutRow
    seconds: Range
    """Of a step."""
    tokens_per_s: Range
    tokens_per_s_per_device: float
    mfu: float | None
    micro_batches: int
    bubble: float
    """Seconds waiting for other stages over seconds of work."""
    memory_bytes: float
    """Of the fullest device."""
    memory: dict[str, float]
    causes: dict[str, float]
    """Device-seconds of one token by part of the step."""


class Lost(msgspec.Struct, kw_only=True):
    """Why the second layout lost to the best."""

    layout: str
    slower: float
    """Share of the best one's rate that it lacks."""
    close: bool
    """Closer than such predictions can tell apart."""
    in_order: float | None
    """Share of published pairs with such a predicted gap that were measured in this order; null without such pairs."""
    seconds: float
    """Device-seconds of one token, beside those of the best."""
    seconds_best: float
    more: dict[str, float]
    """Device-seconds it spends more, by cause, the largest first."""
    less: dict[str, float]
    sentence: str


class FrontRow(msgspec.Struct, kw_only=True):
    """A point that none beats in both rates (serving), or in both rate and memory (training)."""

    layout: str
    tokens_per_s_per_user: float | None
    tokens_per_s_per_device: float
    concurrency: float | None
    ttft: float | None
    memory_bytes: float | None
    keeps: bool
    """What was promised."""
    weights: str = ""
    kv: str = ""


class PlotPoint(msgspec.Struct, kw_only=True):
    """One layout at one load; `front` where it lies on the front."""

    layout: str
    x: float
    """Tokens a second of one user."""
    y: float
    """Tokens a second of one device."""
    front: bool


class LaunchRow(msgspec.Struct, kw_only=True):
    """How a program is told the best layout."""

    program: str
    version: str
    command: list[str]
    """Words of one command; options stay with their values."""
    file: str
    text: str
    notes: list[str]
    cannot: str
    """Why there is no command."""


class PlanResult(Result, kw_only=True):
    """Layouts of a model on a machine, ranked."""

    command: str = "plan"
    kind: str
    """serving or training."""
    model: str
    machine: str
    label: str
    devices: int
    software: str
    asked: dict[str, float]
    """isl, osl, ttft, tpot, sure, concurrency; or seq, global_batch."""
    seen: int
    fit: int
    refused: dict[str, int]
    serving: list[ServingRow]
    """The best layouts, best first; empty in training."""
    training: list[TrainingRow]
    lost: Lost | None
    front: list[FrontRow]
    plot: list[PlotPoint]
    launch: list[LaunchRow]
    method: list[str]
    notes: list[str]
    left_out: list[str]
    next: str = ""

    def headline(self) -> str:
        """The answer in two sentences."""
        from flopsight.report.draw_plan import headline

        return headline(self)

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The best layout, the table, why the second lost, the front, the commands, the method."""
        from flopsight.report.draw_plan import draw

        yield from draw(self, options.max_width)
