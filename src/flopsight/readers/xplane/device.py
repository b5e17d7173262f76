"""What a device's plane says of the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flopsight.trace import Device

VENDORS: Final = {"nvidia": "nvidia", "amd": "amd", "intel": "intel"}
SCALES: Final = {
    "clock_rate": ("max_clock_hz", 1e3), "memory_bandwidth": ("memory_bytes_per_second", 1.0),
    "peak_teraflops_per_second": ("peak_flops_per_second", 1e12),
    "peak_hbm_bw_gigabytes_per_second": ("peak_hbm_bytes_per_second", 1e9),
}  # fmt: skip
"""Stat -> property and its unit. They are what the profiler reports, not a data sheet: XLA writes half of the true
bandwidth of an MI300X."""
OWN: Final = (
    "core_count", "memory_size", "compute_cap_major", "compute_cap_minor", "device_vendor", "gpu_device_name",
    "device_type_string",
)  # fmt: skip


def gpu(number: int, said: Mapping[str, float | str]) -> Device:
    """A GPU; its name only where the file has one. Capability of AMD is not: 9.4 is gfx940, gfx941 and gfx942."""
    vendor = VENDORS.get(str(said.get("device_vendor", "")).lower(), "")
    major, minor = _whole(said.get("compute_cap_major")), _whole(said.get("compute_cap_minor"))
    version = f"{major}.{minor}" if major is not None and minor is not None else ""
    more = {"compute_capability": version} if version and vendor != "nvidia" else {}
    return Device(
        number, str(said.get("gpu_device_name", "")), vendor, _whole(said.get("core_count")),
        _whole(said.get("memory_size")), version if vendor == "nvidia" else "", _properties(said) | more,
    )  # fmt: skip


def tpu(number: int, said: Mapping[str, float | str]) -> Device:
    """A TPU core or chip, by the name that its runtime reports."""
    return Device(
        number, str(said.get("device_type_string", "")), "google", _whole(said.get("core_count")),
        _whole(said.get("memory_size")), "", _properties(said),
    )  # fmt: skip


def _whole(value: float | str | None) -> int | None:
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 2**63 else None


def _properties(said: Mapping[str, float | str]) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for name, value in said.items():
        if isinstance(value, (int, float)) and name in SCALES:
            shown, scale = SCALES[name]
            found[shown] = value * scale
        elif name.startswith(("peak_", "has_")) and "gigabytes" in name and isinstance(value, (int, float)):
            found[name.replace("_bw_gigabytes_per_second", "_bytes_per_second")] = value * 1e9
        elif name and name not in OWN and not (isinstance(value, str) and len(value) > 200):
            found[name] = value
    return found
