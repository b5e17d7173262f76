"""What a device of a trace could do at best: its catalogue entry by the exact name in the file, or the one given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flopsight.errors import UsageError
from flopsight.facts import Fact, Unknown
from flopsight.hardware.catalog import match_driver
from flopsight.hardware.chip import Chip
from flopsight.hardware.machine import node
from flopsight.trace import Device

Basis = Literal["datasheet", "clock", "measured"]


@dataclass(frozen=True, slots=True)
class Roofs:
    """The peaks of one device.

    chip   the catalogue's entry; Unknown with the reason where none is known to be this device
    basis  which peak divides
    given  whether the user named the chip
    """

    chip: Chip | Unknown
    basis: Basis
    given: bool = False

    def peak(self, dtype: str) -> Fact | Unknown:
        """FLOP/s of dense matrix products: of the matrix engine, or of the vector engine for a format it lacks."""
        if isinstance(self.chip, Unknown):
            return self.chip
        if not dtype:
            return Unknown("the number format was not recorded")
        try:
            matrix = self.chip.peak(dtype, basis=self.basis)
            vector = self.chip.peak(dtype, engine="vector", basis=self.basis)
        except UsageError as error:  # a format that nothing multiplies in
            return Unknown(str(error))
        return vector if isinstance(matrix, Unknown) and isinstance(vector, Fact) else matrix

    def bandwidth(self) -> Fact | Unknown:
        """Bytes a second of the device's memory."""
        if isinstance(self.chip, Unknown):
            return self.chip
        return self.chip.memory_bandwidth("measured" if self.basis == "measured" else "datasheet")


def roofs(device: Device | None, on: str | None, basis: Basis, files: Sequence[str | Path] = ()) -> Roofs:
    """The peaks to divide by. `on` is a name of the catalogue ("h100-sxm"); by default the device's own name."""
    if on is not None:
        return Roofs(node(on, files).chip, basis, given=True)
    if device is None:
        return Roofs(Unknown("the file names no device; pass --on with a chip's name"), basis)
    if not device.name:
        what = "the processor that ran this" if device.vendor == "cpu" else f"device {device.id}"
        return Roofs(Unknown(f"the file does not name {what}; pass --on with a chip's name"), basis)
    found = match_driver("torch", device.name, files)
    if isinstance(found, Unknown):
        other = match_driver("nvidia_smi" if device.vendor == "nvidia" else "rocm", device.name, files)
        found = found if isinstance(other, Unknown) else other
    if isinstance(found, Unknown):
        return Roofs(Unknown(f"{found.why} (--on)"), basis)
    return Roofs(found, basis)
