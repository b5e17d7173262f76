"""What Nsight Compute says of a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flopsight.trace import Device

ATTRIBUTE: Final = "device__attribute_"
CLOCKS: Final = {
    "max_gpu_frequency_khz": "max_clock_hz", "clock_rate": "max_clock_hz",
    "max_mem_frequency_khz": "max_memory_clock_hz",
}  # fmt: skip
KILO: Final = 1e3
USED: Final = frozenset((
    *CLOCKS, "display_name", "multiprocessor_count", "total_memory", "capability", "seen_clock_hz",
    "compute_capability_major", "compute_capability_minor",
))  # fmt: skip
"""Attributes that a Device is made of."""
Facts = Mapping[str, float | str]


def device(number: int, facts: Facts) -> Device:
    """A device from its attributes, by name without `device__attribute_`; what is not said stays unknown.

    Units: multiprocessors; memory in bytes; clocks, which CUDA gives in kHz, in Hz.
    """
    name = facts.get("display_name", "")
    values = {ours: facts.get(theirs) for theirs, ours in CLOCKS.items()}
    clocks = {name: value * KILO for name, value in values.items() if isinstance(value, float)}
    return Device(
        number,
        name=name if isinstance(name, str) else "",
        vendor="nvidia",
        units=_whole(facts, "multiprocessor_count"),
        memory=_whole(facts, "total_memory"),
        capability=_capability(facts),
        properties={**clocks, **_seen(facts)},
    )


def _seen(facts: Facts) -> dict[str, float]:
    """The clock at which it was profiled."""
    value = facts.get("seen_clock_hz")
    return {"seen_clock_hz": value} if isinstance(value, float) else {}


def _whole(facts: Facts, name: str) -> int | None:
    value = facts.get(name)
    return int(value) if isinstance(value, float) and 0 < value < 2**63 else None


def _capability(facts: Facts) -> str:
    said = facts.get("capability", "")
    if isinstance(said, str) and said:
        return said
    major, minor = (_whole(facts, f"compute_capability_{part}") for part in ("major", "minor"))
    return "" if major is None else f"{major}.{minor or 0}"
