"""The answer of `predict`: how long a step takes, why, part by part, and what it leaves unused."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report.can import Range
from flopsight.report.mfu import ShareRow
from flopsight.report.value import Result


class PartRow(msgspec.Struct, kw_only=True):
    """One module's task (all its executions), or a named share of a training step."""

    path: str
    kind: str
    times: int
    seconds: float
    share: float
    """Of the seconds of all parts."""
    hidden_s: float
    """Behind other work, not in `seconds`."""
    binds: str
    mfu: float | None
    """Executed FLOPs of one device over what its engine could do meanwhile."""
    compute: str
    flops: float
    weight_bytes: float
    cache_bytes: float
    other_bytes: float
    sent_bytes: float


class MemoryRow(msgspec.Struct, kw_only=True):
    """What one device holds, in bytes by use, and how far that reaches."""

    uses: dict[str, float]
    held: float
    room: float
    total: float
    limit: int
    """The largest batch (or micro-batch, or number of requests) that fits."""
    limit_of: str


class MoneyRow(msgspec.Struct, kw_only=True):
    """Energy and cost of a million tokens, all devices together; null where a fact is missing, with the reason."""

    watts_limit: float | None
    joules_per_million_tokens: Range | None
    """Of the devices alone: no host, network or cooling."""
    energy_basis: str
    """How it is known, or why it is not."""
    dollars_per_million_tokens: Range | None
    price_basis: str
    """The price given or those on record, or why there is none."""


class PredictResult(Result, kw_only=True):
    """Everything `flopsight predict` says of a run."""

    command: str = "predict"
    model: str
    phase: str
    machine: str
    label: str
    devices: int
    layout: str
    chosen: list[str]
    """What was chosen because nobody said."""
    software: str
    basis: str
    """Where the width of the interval comes from."""
    formats: dict[str, str]
    batch: int
    """Sequences a step: prefilled, decoded, in flight (serve) or trained."""
    micro_batch: int
    isl: int
    osl: int
    seq: int
    seconds: Range
    """Of the step: an optimizer step, a prefill, or a decode step (in serve, the time between two tokens)."""
    tokens: float
    """A step makes, all devices together."""
    tokens_per_s: float
    tokens_per_s_per_device: float
    tokens_per_s_per_user: float | None
    ttft: Range | None
    tpot: Range | None
    whole: Range | None
    """From prompt to last token."""
    mfu: ShareRow
    hfu: ShareRow
    mbu: ShareRow | None
    causes: dict[str, float]
    """Seconds of the step by cause; they add up to it."""
    binds: str
    hidden_s: float
    """Exchange behind compute."""
    parts: list[PartRow]
    memory: MemoryRow
    money: MoneyRow
    details: dict[str, float]
    notes: list[str]
    left_out: list[str]
    next: str = ""

    def headline(self) -> str:
        """The answer in two sentences."""
        from flopsight.report.draw_predict import headline

        return headline(self)

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The answer, where the time goes, parts, memory, what was left out."""
        from flopsight.report.draw_predict import draw

        yield from draw(self, options.max_width)
