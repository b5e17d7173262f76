"""What a Kineto file says around its events: devices, rank, versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from flopsight.trace import Device

KEPT: Final = (
    "schemaVersion", "cuda_runtime_version", "cuda_driver_version", "cupti_version", "hip_runtime_version",
    "hip_driver_version", "roctracer_version", "rocprofiler-sdk_version", "record_shapes", "with_stack", "with_flops",
    "with_modules", "profile_memory", "baseTimeNanoseconds", "displayTimeUnit",
)  # fmt: skip
VENDORS: Final = (
    ("nvidia", "nvidia"), ("tesla", "nvidia"), ("geforce", "nvidia"), ("quadro", "nvidia"), ("amd", "amd"),
    ("instinct", "amd"), ("radeon", "amd"), ("intel", "intel"),
)  # fmt: skip
AMD_KEYS: Final = ("hip_runtime_version", "hip_driver_version", "roctracer_version", "rocprofiler-sdk_version")


def marks(around: Mapping[str, Any]) -> dict[str, Any]:
    """Versions and flags."""
    found = {key: around[key] for key in KEPT if isinstance(around.get(key), (int, float, str))}
    spread = around.get("distributedInfo")
    if isinstance(spread, dict):
        found |= {k: spread[k] for k in ("backend", "nccl_version") if isinstance(spread.get(k), str)}
    return found


def place(around: Mapping[str, Any], key: str) -> int | None:
    """Rank or world_size of the job."""
    spread = around.get("distributedInfo")
    value = spread.get(key) if isinstance(spread, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def devices(around: Mapping[str, Any], used: Iterable[int]) -> tuple[Device, ...]:
    """Devices of the file that did something, then those that did nothing.

    A device met only in events is taken to be like those listed, where these are all alike (a process that sees one
    card of eight counts it as 0, its driver as 5); else it has no name.
    """
    listed = around.get("deviceProperties")
    said = {d.id: d for d in map(_device, listed if isinstance(listed, list) else ()) if d is not None}
    vendor = "amd" if any(key in around for key in AMD_KEYS) else "nvidia" if "cuda_runtime_version" in around else ""
    active = tuple(dict.fromkeys(used))
    alike = [replace(one, id=0) for one in said.values()]
    other = alike[0] if alike and all(one == alike[0] for one in alike) else Device(0, vendor=vendor)
    found = [said.get(number, replace(other, id=number)) for number in active]
    return tuple(_of(one, vendor) for one in (*found, *(d for n, d in said.items() if n not in active)))


def _of(device: Device, vendor: str) -> Device:
    return device if device.vendor or not vendor else replace(device, vendor=vendor)


def _device(raw: Any) -> Device | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("id"), int):
        return None
    name = raw.get("name") if isinstance(raw.get("name"), str) else ""
    low = str(name).lower()
    vendor = next((vendor for start, vendor in VENDORS if low.startswith(start)), "")
    major, minor = raw.get("computeMajor"), raw.get("computeMinor")
    capability = f"{major}.{minor}" if vendor == "nvidia" and isinstance(major, int) else ""
    return Device(raw["id"], str(name), vendor, _positive(raw.get("numSms")), _positive(raw.get("totalGlobalMem")),
                  capability)  # fmt: skip


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
