"""The shape of a data file: one chip, link or CPU as written, before anyone reads meaning into it.

A file holds only what is known; an absent key means not known. Quantities may be written with a unit
("989.4 TFLOP/s", "80 GiB") or as a bare number in SI base units. Rates are dense and links one way, always.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["shipping", "legacy", "announced"]
Number = int | float


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A record that refuses keys it does not know."""


class Source(Struct, frozen=True):
    """Where something was read. `supports` names groups of fields, `fields` narrows it to these fields only."""

    ref: str
    kind: str
    date: str = ""
    what: str = ""
    supports: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()


class Names(Struct, frozen=True):
    """The exact strings by which software knows the chip, by the kind of driver that says them.

    `ambiguous` are strings that other parts report as well; `alone` is false where no string is enough by itself.
    """

    torch: tuple[str, ...] = ()
    nvidia_smi: tuple[str, ...] = ()
    rocm: tuple[str, ...] = ()
    jax: tuple[str, ...] = ()
    tpu_type: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    alone: bool = True
    tell_apart: str = ""
    note: str = ""


class Architecture(Struct, frozen=True):
    """Family (Hopper), die (GH100), compute capability (9.0) and target (sm_90a)."""

    family: str = ""
    name: str = ""
    chip: str = ""
    compute_capability: str = ""
    isa: str = ""


class Units(Struct, frozen=True):
    """The compute units enabled on this product: SM, CU, core, MXU."""

    kind: str
    count: int | None = None


class Clock(Struct, frozen=True):
    """Hz: guaranteed, the highest the part reports, and the one the published peak was computed with."""

    base: Number | None = None
    boost_max: Number | None = None
    peak_basis: Number | None = None


class Alternative(Struct, frozen=True):
    """Another defensible peak of one number format, with its basis."""

    dtype: str
    rate: Number
    basis: str
    source: Source


class Headline(Struct, frozen=True):
    """The number a maker prints that is sparse, mixed or unqualified, and so is no dense peak."""

    rate: Number
    dtype: str
    qualifier: str


class Peak(Struct, frozen=True):
    """Dense FLOP/s by engine and number format. `unrated` are formats the engine has but whose dense rate is open."""

    matrix: dict[str, Number] = {}
    vector: dict[str, Number] = {}
    unrated: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    headline: Headline | None = None


class Sparsity(Struct, frozen=True):
    """Structured sparsity: the factor over dense for `dtypes`, or the rate itself where the factor differs."""

    multiplier: Number | None = None
    dtypes: tuple[str, ...] = ()
    rates: dict[str, Number] = {}
    pattern: str = ""
    note: str = ""


class Check(Struct, frozen=True):
    """units x FLOP per unit and clock x `peak_basis` should give the peak of `dtype`; `because` says why not."""

    dtype: str
    because: str = ""


class Tier(Struct, frozen=True):
    """A second, larger and slower memory on the device."""

    type: str
    bytes: Number
    bandwidth: Number


class Memory(Struct, frozen=True):
    """Device memory: capacity in bytes, what the driver shows of it, and the bandwidth in B/s that is stated."""

    bytes: int
    bandwidth: Number | None = None
    label: str = ""
    counted_in: Literal["GiB", "GB"] = "GiB"
    driver_visible: int | None = None
    type: str = ""
    bus_bits: int | None = None
    note: str = ""
    tiers: tuple[Tier, ...] = ()


class OnChip(Struct, frozen=True):
    """Bytes of second-level cache, last-level cache and scratch memory."""

    l2: int | None = None
    llc: int | None = None
    sram: int | None = None


class Power(Struct, frozen=True):
    """Watts, and what the maker calls them (TDP, board power, module maximum)."""

    term: str
    watts: Number | None = None
    note: str = ""


class ScaleUp(Struct, frozen=True):
    """The fast fabric between chips. `pair` is what two chips can use together: a fraction of the total in a mesh."""

    name: str
    one_way: Number | None = None
    pair: Number | None = None
    links: int | None = None
    per_link: Number | None = None
    domain: int | None = None
    topology: str = ""
    note: str = ""


class HostLink(Struct, frozen=True):
    """The link to the host processor, one way."""

    name: str
    one_way: Number
    pcie_gen: int | None = None
    lanes: int | None = None
    note: str = ""


class ScaleOut(Struct, frozen=True):
    """The usual network of the reference system, per device and one way."""

    name: str
    one_way: Number
    note: str = ""


class Links(Struct, frozen=True):
    """How the chip talks to its neighbours, its host and other machines."""

    scale_up: ScaleUp | None = None
    host: HostLink | None = None
    scale_out: ScaleOut | None = None


class Measured(Struct, frozen=True):
    """A measurement: a rate (FLOP/s), a bandwidth (B/s), a time (s) or a fraction of the data sheet.

    Those of the user's own machine have a source of the kind `this-machine`.
    """

    metric: str
    source: Source
    rate: Number | None = None
    bandwidth: Number | None = None
    seconds: Number | None = None
    fraction: float | None = None
    shape: str = ""
    software: str = ""
    method: str = ""
    note: str = ""
    ranks: int | None = None
    threads: int | None = None
    message: int | None = None
    algorithm: str = ""
    recalled: bool = False


class Price(Struct, frozen=True):
    """Dollars an hour, as a range, with what kind of price it is."""

    low: Number
    high: Number
    basis: str
    date: str
    source: Source


class OtherValue(Struct, frozen=True):
    """A value somebody else gives, and who."""

    value: Number | str
    source: str


class Conflict(Struct, frozen=True):
    """A field on which sources disagree: what was chosen, what others say, and why."""

    field: str
    resolution: str
    chosen: Number | str | None = None
    values: tuple[OtherValue, ...] = ()


class ChipRecord(Struct, frozen=True):
    """One accelerator as its data file has it."""

    id: str
    name: str
    vendor: str
    kind: str
    status: Status
    memory: Memory
    released: str = ""
    unit: str = "gpu"
    software_devices: int = 1
    software_devices_note: str = ""
    form_factor: str = ""
    confidence: dict[str, str] = {}
    recalled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names: Names = Names()
    architecture: Architecture = Architecture()
    units: Units = Units(kind="unit")
    clock: Clock = Clock()
    peak: Peak = Peak()
    sparsity: Sparsity = Sparsity()
    flop_per_unit_per_clock: dict[str, int] = {}
    check: Check | None = None
    on_chip: OnChip = OnChip()
    power: Power = Power(term="")
    links: Links = Links()
    measured: tuple[Measured, ...] = ()
    price: tuple[Price, ...] = ()
    sources: tuple[Source, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


class Latency(Struct, frozen=True):
    """Seconds: the least and the most, and what they are the latency of."""

    value: Number
    what: str
    high: Number | None = None
    recalled: bool = False
    sources: tuple[Source, ...] = ()


class LinkMeasured(Struct, frozen=True):
    """A published measurement of a link, and its fraction of the one-way nominal rate."""

    metric: str
    bandwidth: Number
    source: Source
    fraction: float | None = None
    ranks: int | None = None
    note: str = ""


class LinkRecord(Struct, frozen=True, rename={"kind": "class"}):
    """One interconnect as its data file has it."""

    id: str
    name: str
    kind: str
    vendor: str
    status: Status
    scope: str
    year: int | None = None
    one_way: Number | None = None
    links: int | None = None
    per_link: Number | None = None
    lane_bits_per_second: Number | None = None
    lanes: int | None = None
    domain: int | None = None
    latency: Latency | None = None
    measured: tuple[LinkMeasured, ...] = ()
    used_by: tuple[str, ...] = ()
    recalled: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    notes: tuple[str, ...] = ()


class Sku(Struct, frozen=True):
    """One processor of a family: cores, clocks in Hz, watts, memory."""

    name: str
    cores: int
    base: Number
    boost: Number
    all_core: Number | None = None
    watts: Number | None = None
    memory_channels: int | None = None
    memory_transfers: int | None = None
    memory_bandwidth: Number | None = None


class CpuId(Struct, frozen=True):
    """The family and model numbers by which the processor names itself."""

    family: int
    models: tuple[int, ...]


class CpuRecord(Struct, frozen=True):
    """One processor family as its data file has it: FLOPs per cycle and core, by instruction set and number format."""

    id: str
    name: str
    vendor: str
    microarchitecture: str
    year: int
    isa: tuple[str, ...]
    flop_per_cycle_per_core: dict[str, dict[str, int]]
    cpuid: CpuId | None = None
    skus: tuple[Sku, ...] = ()
    recalled: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    notes: tuple[str, ...] = ()
