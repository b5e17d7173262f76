"""GPUs of an export: by their driver's name where the export has it."""

from __future__ import annotations

from typing import Any, Final

from flopsight.readers.sqlite import Database
from flopsight.trace import Device

TABLE: Final = "TARGET_INFO_GPU"
COLUMNS: Final = (
    "id", "name", "smCount", "totalMemory", "memoryBandwidth", "clockRate", "computeMajor", "computeMinor",
)  # fmt: skip


def devices(db: Database, numbers: list[int]) -> tuple[Device, ...]:
    """One for each number that did something, in that order; without a name where the export lists none."""
    listed = _listed(db)
    cuda = _numbers(db)
    return tuple(listed.get(cuda.get(n, n), Device(n, vendor="nvidia")) for n in numbers)


def _numbers(db: Database) -> dict[int, int]:
    """{CUDA's number of a device: the number that the table of GPUs has}."""
    if not db.count("TARGET_INFO_CUDA_DEVICE"):
        return {}
    found = db.columns("TARGET_INFO_CUDA_DEVICE", ("cudaId", "gpuId"))
    return dict(zip(found["cudaId"].tolist(), found["gpuId"].tolist(), strict=True))


def _listed(db: Database) -> dict[int, Device]:
    if not db.count(TABLE):
        return {}
    there = [c for c in COLUMNS if c in db.names(TABLE)]
    rows = db.rows(f"SELECT {', '.join(there)} FROM {TABLE}")  # noqa: S608 - names of our own
    found = [_device(dict(zip(there, row, strict=True))) for row in rows]
    return {one.id: one for one in found if one is not None}


def _device(row: dict[str, Any]) -> Device | None:
    if not isinstance(row.get("id"), int):
        return None
    name = row.get("name")
    major, minor = row.get("computeMajor"), row.get("computeMinor")
    properties: dict[str, float | str] = {}
    if _positive(row.get("clockRate")):
        properties["max_clock_hz"] = float(row["clockRate"])
    if _positive(row.get("memoryBandwidth")):
        properties["memory_bytes_per_s"] = float(row["memoryBandwidth"])
    if isinstance(name, str) and "MIG" in name:
        properties["slice"] = name
    capability = f"{major}.{minor}" if isinstance(major, int) and isinstance(minor, int) else ""
    return Device(
        row["id"], name if isinstance(name, str) else "", "nvidia", _positive(row.get("smCount")),
        _positive(row.get("totalMemory")), capability, properties,
    )  # fmt: skip


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
