"""What the answers of `hardware` hold: numbers with their sources, and the rows of each list."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from flopsight.facts import Kind
from flopsight.hardware.record import ChipRecord, CpuRecord, LinkRecord


class Value(msgspec.Struct, kw_only=True):
    """A number with its source and how it is known, or only `unknown`: the reason why there is none."""

    value: int | float | UnsetType = UNSET
    """In SI base units: FLOP/s, B, B/s, Hz, W; dense, one direction."""
    unit: str | UnsetType = UNSET
    kind: Kind | UnsetType = UNSET
    source: str | UnsetType = UNSET
    edition: str | UnsetType = UNSET
    note: str | UnsetType = UNSET
    unknown: str | UnsetType = UNSET


class ChipRow(msgspec.Struct, kw_only=True):
    """One line of the list of chips."""

    id: str
    name: str
    vendor: str
    kind: str
    status: str
    software_devices: int
    """How many devices a framework shows for one such part."""
    origin: str
    """The catalogue, a plugin, or a file of the user."""
    peak: Value
    memory_bytes: Value
    memory_bandwidth: Value
    memory_counted_in: str
    """GiB or GB, as the maker counts it."""


class LinkRow(msgspec.Struct, kw_only=True):
    """One link with its whole record."""

    id: str
    name: str
    one_way: Value
    both_ways: Value
    latency: Value
    record: LinkRecord


class CpuRow(msgspec.Struct, kw_only=True):
    """One processor family with its whole record."""

    id: str
    name: str
    flop_per_cycle: dict[str, Value]
    """By number format, of one core with its best instruction set."""
    record: CpuRecord


class PeakRow(msgspec.Struct, kw_only=True):
    """The peaks of one engine and number format, of one unit, dense."""

    engine: str
    dtype: str
    datasheet: Value
    clock: Value
    measured: Value


class ChipEntry(msgspec.Struct, kw_only=True):
    """Everything known of a chip."""

    origin: str
    peaks: list[PeakRow]
    memory_bandwidth: dict[str, Value]
    """By basis: "datasheet" and "measured"."""
    record: ChipRecord


class Match(msgspec.Struct, kw_only=True):
    """The id of the entry a device matches exactly, or why none does."""

    id: str | UnsetType = UNSET
    unknown: str | UnsetType = UNSET


class DeviceRow(msgspec.Struct, kw_only=True):
    """One device of this machine, or one kind that was looked for in vain."""

    what: str
    by: str
    """The tool or file that was asked."""
    read: dict[str, str | int | float]
    """Its own words, quantities in base units; empty where nothing was found."""
    match: Match
    notes: list[str]
