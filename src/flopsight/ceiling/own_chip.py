"""Chip records of devices that the catalogue does not hold: a processor, or an accelerator nobody has entered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flopsight.ceiling.memory import memory_bytes
from flopsight.facts import Fact, Unknown
from flopsight.hardware.cpus import Cpu
from flopsight.hardware.record import Architecture, ChipRecord, Clock, Memory, Names, OnChip, Source, Units
from flopsight.hardware.signature import Read, family_of, model_name, signature
from flopsight.stopwatch import TorchDevice

MAKERS: Final = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}
_RATED: Final = ("fp64", "fp32", "bf16", "fp16", "int8")


def slug(text: str) -> str:
    """Lower-case letters, digits and '-'.

    >>> slug("AMD EPYC 9654 96-Core (x2)")
    'amd-epyc-9654-96-core-x2'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:50].strip("-") or "unnamed"


def processor(read: Read, caches: Mapping[str, int], highest: float | None) -> ChipRecord:
    """A processor's record: what the operating system says, and what its family does in a cycle."""
    family, cores, plain = family_of(read), int(read.get("cores") or 0), model_name(read)
    vendor = MAKERS.get(str(read.get("vendor", "")), str(read.get("vendor") or "unknown maker"))
    rates = {} if isinstance(family, Unknown) else _rates(family, str(read.get("isa", "")).split())
    return ChipRecord(
        id=f"cpu-{slug(plain)}-{cores}-cores", name=f"{cores}-core {plain.removeprefix(vendor).strip() or plain}",
        vendor=vendor, kind="cpu", status="shipping", unit="processor", memory=Memory(bytes=memory_bytes()),
        names=Names(other=(signature(read),)), architecture=_architecture(family, str(read.get("isa", ""))),
        units=Units(kind="core", count=cores or None), clock=Clock(boost_max=highest), flop_per_unit_per_clock=rates,
        on_chip=OnChip(l2=caches.get("L2"), llc=max(caches.values(), default=None)),
        recalled=("flop_per_unit_per_clock",) if rates else (),
        sources=(Source(ref="the operating system", kind="device-output", supports=("memory", "units", "aliases")),),
    )  # fmt: skip


def _architecture(family: Cpu | Unknown, isa: str) -> Architecture:
    if isinstance(family, Unknown):
        return Architecture(isa=isa)
    return Architecture(family=family.record.microarchitecture, name=family.record.name, isa=isa)


def _rates(family: Cpu, isas: list[str]) -> dict[str, int]:
    """FLOPs per cycle and core with the best instruction set that this processor shows."""
    found: dict[str, int] = {}
    for dtype in _RATED:
        known = [family.flop_per_cycle(dtype, isa) for isa in isas]
        if values := [int(each.value) for each in known if isinstance(each, Fact)]:
            found[dtype] = max(values)
    return found


def accelerator(device: TorchDevice) -> ChipRecord:
    """A device that the catalogue does not hold: its name, its memory, and nothing that was not asked."""
    name = device.name
    return ChipRecord(
        id=f"own-{slug(name)}", name=name, vendor="unknown maker", kind="gpu", status="shipping",
        memory=Memory(bytes=memory_bytes(device)), names=Names(torch=(name,)),
        sources=(Source(ref="the driver", kind="device-output", supports=("memory", "aliases")),),
    )  # fmt: skip
