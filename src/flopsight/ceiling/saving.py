"""Ceilings kept as a chip record of the user's, so that every command can divide by them.

A processor, or an accelerator that the catalogue does not hold, becomes a chip file in the user's hardware folder. A
chip of the catalogue keeps its facts, and what was measured goes beside them (`flopsight.hardware.own`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from flopsight.ceiling.own_chip import accelerator, processor
from flopsight.ceiling.record import chip_of, own_rows
from flopsight.errors import UsageError
from flopsight.facts import Unknown
from flopsight.hardware.catalog import all_driver_names, chips
from flopsight.hardware.chip import Chip
from flopsight.hardware.detect import cpu_here
from flopsight.hardware.own import OwnRecord, own_file
from flopsight.hardware.record import ChipRecord, Measured
from flopsight.hardware.user import user_folder
from flopsight.hardware.writing import to_toml
from flopsight.predict.corrections import write
from flopsight.stopwatch import TorchDevice

MARK: Final = "Written by `flopsight ceiling --save`, which writes it again; copy it before you change it."


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
