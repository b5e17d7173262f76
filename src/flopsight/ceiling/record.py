"""The ceilings that were saved of this machine, read back from the user's chip records."""

from __future__ import annotations

from collections.abc import Sequence

from flopsight.ceiling.values import Ceilings
from flopsight.facts import Unknown
from flopsight.hardware.catalog import match_driver
from flopsight.hardware.chip import OWN, Chip
from flopsight.hardware.detect import cpu_here
from flopsight.hardware.record import Measured
from flopsight.stopwatch import TorchDevice


def measured(device: str = "cpu") -> Ceilings | Unknown:
    """The saved ceilings of this machine's device, or why there are none.

    Torch is asked only for the name of an accelerator. Raises MissingCapability or UsageError where that cannot be
    done, BadFile or BadConfig for a faulty file.
    """
    chip = chip_of(device)
    if isinstance(chip, Unknown):
        return chip
    rows = own_rows(chip)
    if not rows:
        return Unknown(f"no ceilings of {chip.label} are saved: run `flopsight ceiling --device {device} --save`")
    return _ceilings(device, chip, rows)


def chip_of(device: str) -> Chip | Unknown:
    """The chip that a torch device is, in the catalogue or in the user's folder."""
    if device.partition(":")[0] != "cpu":
        return match_driver("torch", TorchDevice(device).name)
    found = cpu_here()
    if isinstance(found.match, Chip):
        return found.match
    return Unknown("no ceilings of this processor are saved: run `flopsight ceiling --save`")


def own_rows(chip: Chip) -> tuple[Measured, ...]:
    """What the user measured of a chip."""
    return tuple(each for each in chip.record.measured if each.source.kind == OWN)


def _ceilings(device: str, chip: Chip, rows: Sequence[Measured]) -> Ceilings:
    rates = {m.metric.removeprefix("matmul_"): float(m.rate) for m in rows if m.rate}
    memory = {
        m.metric.removeprefix("memory_"): float(m.bandwidth)
        for m in rows
        if m.bandwidth and m.metric.startswith("memory_")
    }
    launch = next((float(m.seconds) for m in rows if m.metric == "launch" and m.seconds), None)
    return Ceilings(
        device, chip.label, rates, memory, launch, max(m.threads or 0 for m in rows),
        rows[0].software.removeprefix("torch "), max(m.source.date for m in rows),
    )  # fmt: skip
