"""The answer of `can`: a verdict, its arithmetic, and what other machines would say."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report.value import Result


class Range(msgspec.Struct, kw_only=True):
    """A prediction: its middle, and the interval that holds the truth at the given level."""

    low: float
    value: float
    high: float
    level: float = 0.9


class FormatRow(msgspec.Struct, kw_only=True):
    """The arithmetic of one weight format on one machine."""

    width: str
    """bf16, fp8 or 4-bit."""
    stored: str
    """The number format that stands for it on this machine."""
    devices: int
    weight_bytes: float
    weight_bytes_per_device: float
    room_bytes_per_device: float
    """What an engine may fill with weights and cache."""
    fits: bool
    read_bytes: float
    """Of weights, for one token."""
    moved_bytes: float
    """The same with the cache."""
    floor_s: float
    ceiling_tokens_per_s: float
    mbu_needed: float
    """Asked over ceiling; above 1 no software helps."""
    layout: str
    seconds: Range | None
    """Of one token."""
    tokens_per_s: Range | None
    causes: dict[str, float]
    """Seconds of a token by cause."""
    verdict: str
    """yes, likely, unlikely, no or unknown."""
    why: str


class ReachRow(msgspec.Struct, kw_only=True):
    """What a higher rate would take on one machine."""

    target_tokens_per_s: float
    width: str
    devices_by_bandwidth: int
    """Whose bandwidth alone suffices."""
    devices: int
    """The fewest that are predicted to reach it, else those of the fastest layout."""
    layout: str
    tokens_per_s: float
    """Of that layout."""
    reached: bool
    bytes_per_token: float | None
    """What a token may read on the devices given; null where launches and exchanges alone take too long."""
    fixed_s: float
    """Launches, exchanges and host, which no bandwidth shortens."""
    tokens_per_pass: float
    """What speculation would have to yield."""


class MachineRow(msgspec.Struct, kw_only=True):
    """The answer for one machine."""

    machine: str
    label: str
    devices: int
    memory_bytes_per_device: float
    bandwidth_per_device: float
    bandwidth_one_at_a_time: bool
    """Devices hold layers one after another, so that one of them works at a time."""
    verdict: str
    width: str
    """The widest format with the best verdict."""
    formats: list[FormatRow]
    reach: ReachRow | None
    notes: list[str]


class UserRow(msgspec.Struct, kw_only=True):
    """Several users together; MFU and MBU are of the whole machine."""

    users: int
    seconds: Range
    tokens_per_s_each: float
    tokens_per_s: float
    mfu: float
    mbu: float
    bytes_per_device: float


class RateRow(msgspec.Struct, kw_only=True):
    """What one user's rate means for the matrix engines."""

    tokens_per_s: float
    flops_per_s: float
    mfu: dict[str, float]
    """By the number format of the peak."""


class CanResult(Result, kw_only=True):
    """Whether one user gets so many tokens a second, with every step of the way."""

    command: str = "can"
    model: str
    params: int
    flops_per_token: float
    tokens_per_s: float
    context: int
    engine: str
    basis: str
    """Where the width of the interval comes from."""
    cache_dtype: str
    verdict: str
    machine: MachineRow
    users: list[UserRow]
    rates: list[RateRow]
    others: list[MachineRow]
    notes: list[str]
    left_out: list[str]
    next: str = ""

    def headline(self) -> str:
        """The answer in two sentences."""
        from flopsight.report.draw_can import headline

        return headline(self)

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The verdict, its steps, users together, other machines, what more would take."""
        from flopsight.report.draw_can import draw

        yield from draw(self, options.max_width)
