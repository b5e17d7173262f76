"""The device of a row: from the catalogue by its id, else from the numbers the row gives."""

from __future__ import annotations

from flopsight.errors import FlopsightError
from flopsight.facts import Unknown
from flopsight.hardware.catalog import find
from flopsight.predict.device import Device, device_of
from flopsight.validate.rows import Row


def device_of_row(row: Row) -> Device | Unknown:
    """One device of the row's hardware."""
    found = _listed(row)
    if found is not None:
        return found
    peaks = row.hardware.get("vendor_peak_tflops")
    rates = {str(k): float(v) * 1e12 for k, v in peaks.items()} if isinstance(peaks, dict) else {}
    bandwidth, memory = row.number(row.hardware, "mem_bw_gbs"), row.number(row.hardware, "mem_gb")
    label = str(row.hardware.get("name") or row.hardware.get("key") or "")
    if not bandwidth:
        return Unknown(f"the row gives no memory bandwidth of {label or 'its device'}")
    return Device(
        "", label, peaks=rates, bandwidth=bandwidth * 1e9, memory=(memory or 0) * 2**30, domain=8,
        notes=("made from the numbers of the row",),
    )  # fmt: skip


def _listed(row: Row) -> Device | None:
    key = row.hardware.get("catalogue_id")
    if not isinstance(key, str):
        return None
    try:
        return device_of(find(key))
    except FlopsightError:
        return None
