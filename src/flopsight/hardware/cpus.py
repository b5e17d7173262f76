"""Processor families: FLOPs per cycle and core, by instruction set and number format. Peak = cores x clock x that."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from flopsight.errors import UnknownHardware, UsageError
from flopsight.facts import Fact, Kind, Unknown
from flopsight.hardware.chip import Known
from flopsight.hardware.compiled import lines
from flopsight.hardware.dtype_names import dtype_name
from flopsight.hardware.record import CpuRecord, Sku
from flopsight.units import check_number, format_si


@dataclass(frozen=True, slots=True)
class Cpu:
    """One processor family. AVX-512 and AMX run below the advertised clock: measure it before trusting a peak."""

    record: CpuRecord

    @property
    def id(self) -> str:
        """The stable slug, such as amd-epyc-9004-genoa."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name for people, with the vendor."""
        return f"{self.record.vendor} {self.record.name}"

    @property
    def skus(self) -> tuple[Sku, ...]:
        """Example processors of the family; their numbers are recalled."""
        return self.record.skus

    def flop_per_cycle(self, dtype: str, isa: str | None = None) -> Known:
        """FLOPs per cycle and core with an instruction set (avx2, avx512, amx, sve, sve2), by default the best."""
        name = dtype_name(dtype)
        table = self.record.flop_per_cycle_per_core
        if isa is not None and isa not in table:
            return Unknown(f"{self.name} has no {isa} in the catalogue; it has {', '.join(table)}")
        rates = {each: rate[name] for each, rate in table.items() if name in rate and isa in (None, each)}
        if not rates:
            return Unknown(f"no {name} rate of {self.name} is known" + (f" with {isa}" if isa else ""))
        best = max(rates, key=lambda each: rates[each])
        field = f"flop_per_cycle_per_core.{best}.{name}"
        recalled = any(field == r or field.startswith(r + ".") for r in self.record.recalled)
        kind: Kind = "recalled" if recalled or not self.record.sources else "stated"
        return Fact(rates[best], "FLOP/cycle", kind, "" if recalled else self.record.sources[0].ref, note=best)

    def peak(self, dtype: str, *, cores: int, clock_hz: float, isa: str | None = None) -> Known:
        """Peak FLOP/s = cores x clock x FLOPs per cycle; Unknown without a rate, UsageError for no cores or clock."""
        if cores < 1 or check_number(clock_hz, "clock_hz") <= 0:
            raise UsageError(
                f"Expected at least one core and a clock above 0 Hz and read {cores} cores at {clock_hz!r} Hz."
            )
        each = self.flop_per_cycle(dtype, isa)
        if isinstance(each, Unknown):
            return each
        value = cores * each.value * clock_hz
        formula = f"{cores} cores x {each.value} FLOP x {format_si(clock_hz, 'Hz')} ({each.note})"
        kind: Kind = "recalled" if each.kind == "recalled" else "derived"
        return Fact(int(value) if float(value).is_integer() else value, "FLOP/s", kind, formula)

    def as_dict(self) -> dict[str, Any]:
        """Everything known, as plain data for JSON."""
        record: dict[str, Any] = msgspec.to_builtins(self.record)
        return record


@cache
def cpus() -> tuple[Cpu, ...]:
    """Every processor family of the catalogue, in the order of their ids."""
    return tuple(Cpu(record) for record in lines("cpus", CpuRecord))


def find_cpu(name: str) -> Cpu:
    """The family of this id or name, or the one that holds this example processor; UnknownHardware otherwise."""
    key = name.strip().casefold()
    for cpu in cpus():
        names = (cpu.id, cpu.record.name, cpu.name, *(sku.name for sku in cpu.skus))
        if key in (each.casefold() for each in names):
            return cpu
    near = difflib.get_close_matches(key, [cpu.id for cpu in cpus()], n=4, cutoff=0.4)
    hint = f"Did you mean {', '.join(near)}?" if near else f"Known are {', '.join(cpu.id for cpu in cpus())}."
    raise UnknownHardware(f"Expected a processor family of the catalogue and read {name[:80]!r}. {hint}")


def match_cpu(vendor: str, family: int, model: int) -> Cpu | Unknown:
    """The family whose processors report exactly this vendor, family and model number."""
    makers = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}
    for cpu in cpus():
        number = cpu.record.cpuid
        if number and cpu.record.vendor == makers.get(vendor) and family == number.family and model in number.models:
            return cpu
    return Unknown(f"no processor family of the catalogue reports {vendor} family {family} model {model}")
