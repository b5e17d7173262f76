"""What the user measured of a chip of the catalogue: it stands beside the chip's facts and replaces none of them.

One file a chip, `measured/<id>.toml` in the user's hardware folder; `flopsight ceiling --save` writes it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from flopsight.errors import BadConfig
from flopsight.hardware.chip import OWN, Chip
from flopsight.hardware.reading import read_toml, to_record
from flopsight.hardware.record import Measured, Struct
from flopsight.hardware.user import user_folder


class OwnRecord(Struct, frozen=True):
    """Measurements of the chip with this id."""

    id: str
    measured: tuple[Measured, ...]


def own_file(chip_id: str) -> Path:
    """Where the user's measurements of a chip lie; it need not exist."""
    return user_folder() / "measured" / f"{chip_id}.toml"


def without_own(chip: Chip) -> Chip:
    """The chip with what others have published only."""
    kept = tuple(each for each in chip.record.measured if each.source.kind != OWN)
    return replace(chip, record=msgspec.structs.replace(chip.record, measured=kept))


def with_own(chip: Chip) -> Chip:
    """The chip with the user's measurements after those published; BadFile or BadConfig for a faulty file."""
    path = own_file(chip.id)
    if not path.is_file():
        return chip
    own = to_record(read_toml(path), OwnRecord, str(path))
    if own.id != chip.id:
        raise BadConfig(f"{path}: field id: expected {chip.id!r}, as the file is named, and read {own.id!r}.")
    return replace(chip, record=msgspec.structs.replace(chip.record, measured=(*chip.record.measured, *own.measured)))
