"""A user's own measurements of a device, as factors on the time of kinds of kernels.

Files lie beside the user's chips (`$FLOPSIGHT_HOME/calibration`, else `~/.config/flopsight/calibration`), one a chip,
named by its id; `flopsight calibrate --save` writes them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from flopsight.errors import BadFile, UsageError
from flopsight.hardware.user import user_folder
from flopsight.predict.device import Device

LARGEST = 16 * 2**20
RANGE = (0.05, 50.0)


def folder() -> Path:
    """Where calibrations lie; it need not exist."""
    return user_folder().parent / "calibration"


def corrections(chip: str) -> tuple[dict[str, float], str]:
    """Factors by kind of kernel and a sentence on where they come from; none where nothing was saved.

    BadFile for a file that is not one of ours or holds absurd factors.
    """
    path = folder() / f"{chip}.json"
    if not chip or not path.is_file():
        return {}, ""
    found = _read(path)
    factors = found.get("corrections")
    if not isinstance(factors, dict) or not all(_plausible(v) for v in factors.values()):
        raise BadFile(
            f"{path} should hold corrections between {RANGE[0]} and {RANGE[1]}; calibrate again or delete it."
        )
    note = (
        f"Kernel times corrected by your calibration of {str(found.get('date', ''))[:10] or 'unknown date'} ({path})."
    )
    return {str(k): float(v) for k, v in factors.items()}, note


def own(device: Device) -> Device:
    """The device with the user's own corrections, if there are any."""
    factors, note = corrections(device.id)
    return replace(device, factors=factors, notes=(*device.notes, note)) if factors else device


def _plausible(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and RANGE[0] <= value <= RANGE[1]


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise BadFile(f"{path} is larger than {LARGEST:,} bytes and is no calibration; delete it.")
        found = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise BadFile(
            f"{path} cannot be read as a calibration: {str(error)[:120]}. Calibrate again or delete it."
        ) from error
    if not isinstance(found, dict):
        raise BadFile(f"{path} should hold an object; calibrate again or delete it.")
    return found


def save(chip: str, content: bytes) -> Path:
    """Keep a chip's calibration; UsageError where the folder cannot be written."""
    path = folder() / f"{chip}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path.parent} cannot be made: {error.strerror or error}.") from error
    write(path, content)
    return path


def write(path: Path, content: bytes) -> None:
    """Write a file aside and put it in its place at once; UsageError where that cannot be done."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
