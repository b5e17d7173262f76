"""What a device could do: of a chip by name, by the exact word of a driver, or by saved ceilings of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from flopsight.ceiling import Ceilings
from flopsight.ceiling.record import measured
from flopsight.errors import FlopsightError
from flopsight.facts import Fact, Unknown
from flopsight.hardware.catalog import Driver, find, match_driver
from flopsight.hardware.chip import Chip


@dataclass(frozen=True, slots=True)
class Roofs:
    """Peak FLOP/s in one number format, and bytes/s of the memory, of one device; `source` says whose numbers."""

    flops: float
    bandwidth: float
    device: str
    source: str


@lru_cache(64)
def roofs_of(device: str, dtype: str, on: str | None) -> Roofs | Unknown:
    """The roofs of a torch device, or why they are not known and what to do."""
    name = device.partition(":")[0]
    if on is None and name != "cpu":
        import torch

        name = torch.get_device_module(device).get_device_name(device)
    return roofs_named("torch", name, dtype, on)


@lru_cache(64)
def roofs_named(driver: Driver, name: str, dtype: str, on: str | None) -> Roofs | Unknown:
    """The roofs of the device that a driver calls so, of this processor for "cpu", or of `on`; or why not."""
    try:
        if on is not None:
            return _of_chip(find(on), dtype)
        if name == "cpu":
            return _of_ceilings(measured("cpu"), dtype)
        chip = match_driver(driver, name)
        return chip if isinstance(chip, Unknown) else _of_chip(chip, dtype)
    except FlopsightError as error:
        return Unknown(str(error))


def _of_chip(chip: Chip, dtype: str) -> Roofs | Unknown:
    for basis in ("datasheet", "measured"):
        peak, memory = chip.peak(dtype, basis=basis), chip.memory_bandwidth(basis)
        if isinstance(peak, Fact) and isinstance(memory, Fact):
            return Roofs(float(peak.value), float(memory.value), chip.label, f"dense {dtype}, {basis}")
    known = chip.peak(dtype)
    return known if isinstance(known, Unknown) else Unknown(f"the memory bandwidth of {chip.label} is not known")


def _of_ceilings(found: Ceilings | Unknown, dtype: str) -> Roofs | Unknown:
    if isinstance(found, Unknown):
        return found
    peak = found.peaks.get(dtype)
    if peak is None or found.bandwidth is None:
        return Unknown(f"no {dtype} product of this processor is measured: run `flopsight ceiling --save`")
    return Roofs(peak, found.bandwidth, found.name, f"{dtype}, measured {found.date}")
