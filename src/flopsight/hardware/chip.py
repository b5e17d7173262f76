"""Chips and nodes: what a data file says, read as facts that remember their source.

Three bases of a peak exist and every answer names its own: `datasheet` (comparable between papers, the default),
`clock` (units x FLOPs per clock x the clock; the only true ceiling) and `measured` (the best published GEMM or memory
test, or the user's own).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import msgspec

from flopsight.errors import UsageError
from flopsight.facts import Fact, Kind, Unknown
from flopsight.hardware.dtype_names import DTYPES, dtype_name
from flopsight.hardware.record import ChipRecord, HostLink, Links, Measured, ScaleOut, ScaleUp, Source
from flopsight.units import check_number, format_si

Engine = Literal["matrix", "vector"]
Basis = Literal["datasheet", "clock", "measured"]
Known: TypeAlias = Fact | Unknown

ENGINES: Final = ("matrix", "vector")
BASES: Final = ("datasheet", "clock", "measured")

# Which group of sources stands behind a field, by the first word of its path.
_GROUPS: Final = {
    "peak": "peak", "sparsity": "peak", "memory": "memory", "power": "power", "links": "interconnect",
    "names": "aliases", "units": "units", "clock": "units", "on_chip": "units", "flop_per_unit_per_clock": "units",
}  # fmt: skip
# The best witness comes first; a recalled one never stands for a number that another witness gives.
_RANK: Final = ("vendor-doc", "repo", "page", "issue", "third-party-db", "device-output", "derived", "recalled")
# What a driver prints is the best witness only of what a driver can see.
_SEEN_BY_DRIVERS: Final = ("memory.driver_visible", "units.count")
_DOUBTFUL: Final = {
    "third-party": "from a third party",
    "repo": "from a repository",
    "disputed": "sources disagree",
    "derived": "derived",
}
_MEMORY_TESTS: Final = (
    "hbm_read", "stream_read_like", "hbm_copy_scale", "hbm_triad", "hbm_write", "memory_read", "memory_write",
    "memory_copy",
)  # fmt: skip
OWN: Final = "this-machine"
"""The kind of source of what the user measured: it is the measured basis, whatever others have published."""
_MEMORY_FRACTIONS: Final = ("hbm_fraction_measured", "hbm_fraction_range")
# Beyond this factor the formula describes silicon that the maker has switched off or capped, not a clock difference.
_CAPPED: Final = 1.25


@dataclass(frozen=True, slots=True)
class Fabric:
    """The links between chips as one chip sees them, in B/s one way.

    one_way   all links of the chip together
    pair      what two chips can use between them: all of it behind a switch, a fraction in a mesh
    domain    how many chips the fabric joins
    """

    name: str
    one_way: Known
    pair: Known
    per_link: Known
    domain: int | None = None
    links: int | None = None
    topology: str = ""
    note: str = ""

    @property
    def both_ways(self) -> Known:
        """Twice `one_way`: the number NVIDIA and AMD print. Never compare it with a one-way number."""
        return scaled(self.one_way, 2, "both directions together")


@dataclass(frozen=True, slots=True)
class Chip:
    """One accelerator of the catalogue, of a plugin or of a user's file; `origin` says which file or plugin."""

    record: ChipRecord
    origin: str = "catalogue"

    @property
    def id(self) -> str:
        """The stable slug, such as nvidia-h100-sxm5-80gb."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name for people, without the vendor."""
        return self.record.name

    @property
    def vendor(self) -> str:
        """Who makes it."""
        return self.record.vendor

    @property
    def kind(self) -> str:
        """Gpu, tpu, npu, apu, soc or wafer."""
        return self.record.kind

    @property
    def status(self) -> str:
        """Shipping, legacy or announced."""
        return self.record.status

    @property
    def software_devices(self) -> int:
        """How many devices a framework shows for one such part: 2 for MI250X or TPU v3, mostly 1."""
        return self.record.software_devices

    @property
    def label(self) -> str:
        """Vendor and name, with the mark of a part that does not ship yet."""
        return f"{self.vendor} {self.name}" + (" (announced)" if self.status == "announced" else "")

    def fact(self, value: float | None, unit: str, field: str) -> Known:
        """Wrap a number of the record with the source that stands behind `field` and how it is known."""
        if value is None:
            return Unknown(f"{field} of {self.label} is not known")
        source = self.source(field)
        kind, note = self._kind(field, source)
        if source is None or kind == "recalled":
            return Fact(value, unit, kind, note=note)
        return Fact(value, unit, kind, source.ref, source.date, note)

    def source(self, field: str) -> Source | None:
        """The best source behind a field, or None if the record names none."""
        named = [s for s in self.record.sources if any(_covers(f, field) for f in s.fields)]
        group = _GROUPS.get(field.partition(".")[0], "")
        grouped = [s for s in self.record.sources if group in s.supports and not s.fields]
        # A source that gives another value for this very field does not stand behind ours.
        rivals = [v.source for conflict in self.record.conflicts if conflict.field == field for v in conflict.values]
        agreeing = [s for s in [*grouped, *named] if not any(s.ref in rival for rival in rivals)]
        return min(agreeing or [*grouped, *named], key=lambda source: _rank(source, field), default=None)

    def is_recalled(self, field: str) -> bool:
        """Whether the number was written from memory, with no source at hand: confirm it before quoting it."""
        return any(_covers(recalled, field) for recalled in self.record.recalled)

    def _kind(self, field: str, source: Source | None) -> tuple[Kind, str]:
        group = _GROUPS.get(field.partition(".")[0], "")
        doubt = _DOUBTFUL.get(self.record.confidence.get(group, ""), "")
        notes = [doubt] if doubt else []
        if any(conflict.field == field for conflict in self.record.conflicts):
            notes.append("other values exist: see conflicts")
        note = "; ".join(notes)
        if self.is_recalled(field):
            return "recalled", "; ".join(["recalled: confirm against the data sheet", *notes])
        if source is None:
            return "assumed", "; ".join(["the record names no source", *notes])
        if self.status == "announced":
            return "announced", note
        if doubt == "derived" or source.kind == "derived":
            return "derived", note
        return ("measured" if source.kind == "device-output" else "stated"), note

    def peak(
        self,
        dtype: str,
        *,
        engine: Engine = "matrix",
        basis: Basis = "datasheet",
        sparse: bool = False,
        clock_hz: float | None = None,
    ) -> Known:
        """Peak FLOP/s of one unit for a number format, dense unless `sparse` is asked for.

        `clock_hz` (the clock the driver shows) is for the clock basis. Unknown, with the reason, where nobody gives the
        number; never another format's. UsageError for a format, engine or basis that does not exist.
        """
        name = dtype_name(dtype)
        _one_of(engine, ENGINES, "engine")
        _one_of(basis, BASES, "basis")
        if clock_hz is not None and basis != "clock":
            raise UsageError("clock_hz belongs to the clock basis; pass basis='clock' with it.")
        if sparse:
            return self._sparse(name, engine, basis, clock_hz)
        if basis == "clock":
            return self._clock_peak(name, engine, clock_hz)
        return self._measured_peak(name, engine) if basis == "measured" else self._stated_peak(name, engine)

    def _stated_peak(self, dtype: str, engine: Engine) -> Known:
        rates = self.record.peak.matrix if engine == "matrix" else self.record.peak.vector
        if dtype not in rates:
            return Unknown(self._why_no_rate(dtype, engine, rates))
        fact = self.fact(rates[dtype], "FLOP/s", f"peak.{engine}.{dtype}")
        others = [a for a in self.record.peak.alternatives if a.dtype == dtype and engine == "matrix"]
        more = [f"also defensible: {format_si(a.rate, 'FLOP/s')} ({a.basis})" for a in others]
        return _with_note(fact, *more)

    def _why_no_rate(self, dtype: str, engine: Engine, rates: dict[str, float]) -> str:
        headline = self.record.peak.headline
        why = f"the data sheet of {self.label} lists no {dtype} {engine} rate"
        if engine == "matrix" and dtype in self.record.peak.unrated:
            why = f"{self.label} computes {dtype}, but no dense {dtype} rate is settled"
        if headline and dtype_name(headline.dtype) == dtype:
            why += f"; the {format_si(headline.rate, 'FLOP/s')} in print is: {headline.qualifier}"
        return f"{why}; its {engine} rates are {', '.join(rates)}" if rates else f"{why}, nor any {engine} rate"

    def _clock_peak(self, dtype: str, engine: Engine, clock_hz: float | None) -> Known:
        """Units x FLOPs per unit and clock x clock, unless the maker caps the rate below what the clock gives."""
        units, each = self.record.units.count, self.record.flop_per_unit_per_clock.get(dtype)
        clock = check_number(clock_hz, "clock_hz") if clock_hz is not None else self.record.clock.boost_max
        if clock is not None and clock <= 0:
            raise UsageError(f"Expected a clock above 0 Hz and read {clock!r}.")
        if engine != "matrix" or units is None or each is None or clock is None:
            missing = (
                "units"
                if units is None
                else "clock"
                if clock is None
                else f"{engine} FLOPs per unit and clock for {dtype}"
            )
            return Unknown(f"the clock peak of {self.label} needs its {missing}, which the record does not give")
        stated, boost = self.record.peak.matrix.get(dtype), self.record.clock.boost_max
        if stated and boost and units * each * boost > _CAPPED * stated:
            times = units * each * boost / stated
            return Unknown(
                f"units and clock of {self.label} would give {times:.2f} times its stated {dtype} rate: it is capped"
            )
        return self._by_clock(dtype, units, each, clock, given=clock_hz is not None)

    def _by_clock(self, dtype: str, units: int, each: int, clock: float, *, given: bool) -> Fact:
        inputs = ["units.count", f"flop_per_unit_per_clock.{dtype}"] + ([] if given else ["clock.boost_max"])
        recalled = [field for field in inputs if self.is_recalled(field)]
        kind: Kind = "recalled" if recalled else "announced" if self.status == "announced" else "derived"
        value = units * each * clock
        formula = f"{units} {self.record.units.kind} x {each} FLOP x {format_si(clock, 'Hz')}"
        note = "clock as given" if given else "at the highest clock the part reports"
        note += f"; {' and '.join(recalled)} recalled" if recalled else ""
        return Fact(int(value) if float(value).is_integer() else value, "FLOP/s", kind, formula, note=note)

    def _measured_peak(self, dtype: str, engine: Engine) -> Known:
        tests = [m for m in self.record.measured if m.metric == f"matmul_{dtype}" and m.rate]
        # One's own beats a stranger's, and a number with its source beats a larger one from memory.
        best = max(tests, key=lambda m: (m.source.kind == OWN, not m.recalled, m.rate or 0), default=None)
        if best is None or best.rate is None or engine != "matrix":
            return Unknown(f"no {dtype} GEMM measurement of {self.label} is in the catalogue, nor one of your own")
        return _measurement(best, best.rate, "FLOP/s")

    def _sparse(self, dtype: str, engine: Engine, basis: Basis, clock_hz: float | None) -> Known:
        sparsity = self.record.sparsity
        if engine != "matrix" or basis == "measured":
            return Unknown(f"no sparse {dtype} rate of {self.label} is known for the {engine} engine, {basis} basis")
        dense = self.peak(dtype, basis=basis, clock_hz=clock_hz)
        pattern = f"structured sparsity {sparsity.pattern}".strip()
        if dtype in sparsity.rates and basis == "datasheet":
            return _with_note(self.fact(sparsity.rates[dtype], "FLOP/s", f"peak.matrix.{dtype}"), f"with {pattern}")
        if dtype in sparsity.rates or dtype not in sparsity.dtypes or sparsity.multiplier is None:
            return Unknown(
                f"no sparse {dtype} rate of {self.label} is known; {sparsity.note or 'only dense rates are listed'}"
            )
        return scaled(dense, sparsity.multiplier, f"with {pattern}, {sparsity.multiplier} times dense")

    def memory_bandwidth(self, basis: Basis = "datasheet") -> Known:
        """Device memory bandwidth in B/s, from the data sheet or as the best published test reached it."""
        _one_of(basis, BASES, "basis")
        stated = self.fact(self.record.memory.bandwidth, "B/s", "memory.bandwidth")
        if basis == "datasheet":
            return _with_note(stated, self.record.memory.note)
        if basis == "clock":
            return Unknown(f"the catalogue holds no memory clock of {self.label}, so no clock basis for its bandwidth")
        tests = [m for m in self.record.measured if m.metric in _MEMORY_TESTS and m.bandwidth]
        if tests:
            best = max(tests, key=lambda m: (m.source.kind == OWN, m.bandwidth or 0))
            return _measurement(best, best.bandwidth or 0, "B/s")
        for each in self.record.measured:
            if each.metric in _MEMORY_FRACTIONS and each.fraction and isinstance(stated, Fact):
                fact = _measurement(each, each.fraction * stated.value, "B/s")
                return _with_note(fact, f"{each.fraction} of the data sheet")
        return Unknown(f"no memory test of {self.label} is in the catalogue, nor one of your own")

    @property
    def memory_bytes(self) -> Known:
        """Nominal capacity in bytes: a GPU's "80 GB" is 80 GiB."""
        return self.fact(self.record.memory.bytes, "B", "memory.bytes")

    @property
    def visible_bytes(self) -> Known:
        """The capacity the driver shows, somewhat under nominal; Unknown where no device output was found."""
        return self.fact(self.record.memory.driver_visible, "B", "memory.driver_visible")

    @property
    def power(self) -> Known:
        """Watts of one unit; the note is what the maker calls it."""
        return _with_note(self.fact(self.record.power.watts, "W", "power.watts"), self.record.power.term)

    @property
    def fabric(self) -> Fabric | Unknown:
        """The fast links to other chips."""
        up = self._links.scale_up
        if up is None:
            return Unknown(f"no scale-up link of {self.label} is known")
        return self._fabric(up)

    def _fabric(self, up: ScaleUp) -> Fabric:
        rates = {
            key: self.fact(getattr(up, key), "B/s", f"links.scale_up.{key}") for key in ("one_way", "pair", "per_link")
        }
        return Fabric(up.name, domain=up.domain, links=up.links, topology=up.topology, note=up.note, **rates)

    @property
    def host_link(self) -> Known:
        """B/s one way to the host processor; the note names the link."""
        return self._link(self._links.host, "links.host")

    @property
    def scale_out(self) -> Known:
        """B/s one way per unit into the usual network of the reference system; the note names it."""
        return self._link(self._links.scale_out, "links.scale_out")

    @property
    def _links(self) -> Links:
        return self.record.links

    def _link(self, link: HostLink | ScaleOut | None, field: str) -> Known:
        if link is None:
            return Unknown(f"{field} of {self.label} is not known")
        return _with_note(self.fact(link.one_way, "B/s", f"{field}.one_way"), link.name)

    def per_software_device(self, known: Known) -> Known:
        """A rate or size of the whole unit, divided among the devices a framework shows for it."""
        count = self.software_devices
        return known if count == 1 else scaled(known, 1 / count, f"one of {count} software devices of {self.name}")

    def peaks(self) -> Iterator[tuple[str, str, dict[str, Known]]]:
        """Every (engine, number format, basis -> peak) that has at least one known value."""
        for engine in ("matrix", "vector"):
            for dtype in DTYPES:
                row: dict[str, Known] = {}
                for basis in BASES:
                    row[basis] = self.peak(dtype, engine=engine, basis=basis)
                if any(isinstance(known, Fact) for known in row.values()):
                    yield engine, dtype, row

    def as_dict(self) -> dict[str, Any]:
        """Everything known, as plain data for JSON: the record and the facts derived from it."""
        peaks = [
            {"engine": engine, "dtype": dtype, **{basis: known_dict(known) for basis, known in row.items()}}
            for engine, dtype, row in self.peaks()
        ]
        bandwidth = {basis: known_dict(self.memory_bandwidth(basis)) for basis in ("datasheet", "measured")}
        record: dict[str, Any] = msgspec.to_builtins(self.record)
        return {"origin": self.origin, "peaks": peaks, "memory_bandwidth": bandwidth, "record": record}


@dataclass(frozen=True, slots=True)
class Node:
    """`count` units of one chip; rates and sizes are of all of them together."""

    count: int
    chip: Chip

    @property
    def name(self) -> str:
        """The form `catalog.node` reads back: 8xnvidia-h100-sxm5-80gb."""
        return f"{self.count}x{self.chip.id}"

    @property
    def label(self) -> str:
        """Count and name for people."""
        return f"{self.count} x {self.chip.label}"

    @property
    def software_devices(self) -> int:
        """How many devices a framework shows for all units."""
        return self.count * self.chip.software_devices

    def peak(self, dtype: str, *, engine: Engine = "matrix", basis: Basis = "datasheet") -> Known:
        """Peak FLOP/s of all units together; see `Chip.peak`."""
        return self._times(self.chip.peak(dtype, engine=engine, basis=basis))

    def memory_bandwidth(self, basis: Basis = "datasheet") -> Known:
        """Memory bandwidth of all units together, in B/s."""
        return self._times(self.chip.memory_bandwidth(basis))

    @property
    def memory_bytes(self) -> Known:
        """Nominal memory of all units together, in bytes."""
        return self._times(self.chip.memory_bytes)

    def _times(self, known: Known) -> Known:
        return known if self.count == 1 else scaled(known, self.count, f"{self.count} units")

    def as_dict(self) -> dict[str, Any]:
        """Count, chip and the shared memory, as plain data for JSON."""
        return {"count": self.count, "chip": self.chip.as_dict(), "memory_bytes": known_dict(self.memory_bytes)}


def scaled(known: Known, factor: float, why: str) -> Known:
    """A fact times a factor, marked derived (a recalled or announced one keeps its mark); Unknown stays Unknown."""
    if isinstance(known, Unknown):
        return known
    value = known.value * factor
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    kind: Kind = known.kind if known.kind in ("recalled", "announced", "assumed") else "derived"
    return _with_note(replace(known, value=value, kind=kind), why)


def known_dict(known: Known) -> dict[str, Any]:
    """A fact or the reason for not knowing, as plain data."""
    return asdict(known) if isinstance(known, Fact) else {"unknown": known.why}


def _with_note(known: Known, *notes: str) -> Known:
    if isinstance(known, Unknown):
        return known
    return replace(known, note="; ".join(note for note in (known.note, *notes) if note))


def _measurement(test: Measured, value: float, unit: str) -> Fact:
    """A published measurement as a fact: software, shape and method go into the note."""
    parts = (test.metric, test.shape and f"m x n x k {test.shape}", test.software, test.method, test.note)
    kind: Kind = "recalled" if test.recalled else "measured"
    return Fact(value, unit, kind, test.source.ref, test.source.date, ", ".join(part for part in parts if part))


def _rank(source: Source, field: str) -> int:
    """The place of a witness in the queue: the lower, the better."""
    if source.kind == "device-output" and field in _SEEN_BY_DRIVERS:
        return -1
    return _RANK.index(source.kind) if source.kind in _RANK else len(_RANK)


def _covers(listed: str, field: str) -> bool:
    """Whether a listed field is this one or the group it lies in: "links" covers "links.host.one_way"."""
    return field == listed or field.startswith(listed + ".")


def _one_of(value: str, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise UsageError(f"Expected {what} to be one of {', '.join(allowed)} and read {value!r}.")
