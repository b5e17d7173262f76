"""The string by which a processor is known again: what it calls itself, its model numbers, its cores."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from flopsight.facts import Unknown
from flopsight.hardware.cpus import Cpu, match_cpu

Read = Mapping[str, str | int | float]


def signature(read: Read) -> str:
    """Name, family and model numbers, and cores, as the operating system gave them; the same after a restart.

    >>> signature({"name": "AMD EPYC", "family": "25", "model": "17", "cores": 2})
    'AMD EPYC, family 25, model 17, 2 cores'
    """
    numbers = [f"{key} {read[key]}" for key in ("family", "model", "part") if read.get(key)]
    return ", ".join([model_name(read), *numbers, f"{read.get('cores', 0)} cores"])


def model_name(read: Read) -> str:
    """What the processor calls itself, or its instruction set where it has no name."""
    return str(read.get("name") or platform.processor() or platform.machine() or "processor")


def family_of(read: Read) -> Cpu | Unknown:
    """The processor family of the catalogue that reports exactly these numbers."""
    vendor, family, model = (str(read.get(key, "")) for key in ("vendor", "family", "model"))
    if vendor and family.isdecimal() and model.isdecimal():
        return match_cpu(vendor, int(family), int(model))
    return Unknown(
        "the processor gives no vendor, family and model number that the catalogue can match; pass the family by name"
    )
