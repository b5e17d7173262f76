"""Ceilings kept as a chip record of the user's, so that every command can divide by them.

A processor, or an accelerator that the catalogue does not hold, becomes a chip file in the user's hardware folder. A
chip of the catalogue keeps its facts, and what was measured goes beside them (`flopsight.hardware.own`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from flopsight.ceiling.memory import memory_bytes
from flopsight.ceiling.record import chip_of, own_rows
from flopsight.errors import UsageError
from flopsight.facts import Fact, Unknown
from flopsight.hardware.catalog import all_driver_names, chips
from flopsight.hardware.chip import Chip
from flopsight.hardware.cpus import Cpu
from flopsight.hardware.detect import cpu_here
from flopsight.hardware.own import OwnRecord, own_file
from flopsight.hardware.record import Architecture, ChipRecord, Clock, Measured, Memory, Names, OnChip, Source, Units
from flopsight.hardware.signature import Read, family_of, model_name, signature
from flopsight.hardware.user import user_folder
from flopsight.hardware.writing import to_toml
from flopsight.predict.corrections import write
from flopsight.stopwatch import TorchDevice

MARK: Final = "Written by `flopsight ceiling --save`, which writes it again; copy it before you change it."
MAKERS: Final = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}
_RATED: Final = ("fp64", "fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True, slots=True)
class Saved:
    """The chip that ceilings were saved for, by its id, and the file."""

    id: str
    path: Path


def save(device: TorchDevice, rows: Iterable[Measured], caches: Mapping[str, int], highest: float | None) -> Saved:
    """Keep what was measured; a row replaces an older one of its metric.

    caches   bytes of all instances of each cache level of a processor, by name
    highest  its highest clock in Hz, where that is known
    Raises UsageError for a file that is not ours, a folder that cannot be written, or a name that several chips share.
    """
    chip, new = chip_of(str(device.device)), list(rows)
    if isinstance(chip, Chip) and Path(chip.origin).parent != user_folder():
        return _written(chip.id, own_file(chip.id), OwnRecord(id=chip.id, measured=merged(own_rows(chip), new)))
    if isinstance(chip, Unknown) and device.kind != "cpu":
        _check_unclaimed(device.name, chip.why)
    made = processor(cpu_here().read, caches, highest) if device.kind == "cpu" else accelerator(device)
    old = () if isinstance(chip, Unknown) else own_rows(chip)
    made = msgspec.structs.replace(made, measured=merged(old, new))
    return _written(made.id, user_folder() / f"{made.id}.toml", made)


def check_folder() -> None:
    """Before long measurements: UsageError where the user's folder cannot be written."""
    folder = user_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error.strerror or str(error)) from error
    if not os.access(folder, os.W_OK):
        raise _unusable(folder, "it is not writable")


def _unusable(folder: Path, why: str) -> UsageError:
    return UsageError(f"Ceilings are kept in {folder}, which cannot be used: {why}. Set FLOPSIGHT_HOME elsewhere.")


def merged(old: Iterable[Measured], new: list[Measured]) -> tuple[Measured, ...]:
    """Rows of every metric: the new one, or the old one if it was better with the same software.

    A ceiling does not sink because another program ran beside the second measurement.
    """
    before = {each.metric: each for each in old}
    kept = [_better(before.pop(each.metric, each), each) for each in new]
    return (*kept, *before.values())


def _better(old: Measured, new: Measured) -> Measured:
    same = (old.software, old.threads, old.ranks) == (new.software, new.threads, new.ranks)
    return old if same and _merit(old) > _merit(new) else new


def _merit(row: Measured) -> float:
    """The higher, the nearer to the ceiling: a rate, a bandwidth, or the inverse of a time."""
    return float(row.rate or row.bandwidth or (1 / row.seconds if row.seconds else 0))


def _check_unclaimed(name: str, why: str) -> None:
    if any(name in all_driver_names(chip) or name in chip.record.names.ambiguous for chip in chips()):
        raise UsageError(f"Nothing was saved: {why}.")


def _written(chip_id: str, path: Path, record: ChipRecord | OwnRecord) -> Saved:
    """Aside first, then in its place at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ours = not path.exists() or path.read_bytes().startswith(f"# {MARK}".encode())
    except OSError as error:
        raise _unusable(path.parent, error.strerror or str(error)) from error
    if not ours:
        raise UsageError(f"{path} was not written by `flopsight ceiling`, so it is left alone; move it away first.")
    write(path, to_toml(record, MARK).encode())
    return Saved(chip_id, path)


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
