"""The device of a row: from the catalogue by its id or name, else from the numbers the row gives."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from flopsight.errors import FlopsightError
from flopsight.facts import Unknown
from flopsight.hardware.catalog import find
from flopsight.predict.device import Device, device_of
from flopsight.validate.rows import Row

INSTANCES: Final = {
    "inf2.48xlarge": ("aws-inferentia2", 12, 96e9), "trn1.32xlarge": ("aws-trainium1", 16, 192e9),
}  # fmt: skip
"""Cloud machines that rows name as one device: the chip, how many, and B/s one way of one chip's links to the others
(AWS instance pages: 192 GB/s both ways between chips of inf2.48xlarge, 384 of trn1.32xlarge)."""

Numbers = tuple[str, str, float, float, float, int, float]
CARDS: Final[dict[str, Numbers]] = {
    # name: family, kind, dense fp16 TFLOP/s (fp32 accumulation), vector fp32, GB/s, units, GiB
    "rtx 3070": ("Ampere", "gpu", 40.6, 20.3, 448, 46, 8),
    "rtx 3080": ("Ampere", "gpu", 59.5, 29.8, 760, 68, 10),
    "rtx 3080 ti": ("Ampere", "gpu", 68.2, 34.1, 912, 80, 12),
    "rtx 4080": ("Ada", "gpu", 97.5, 48.7, 716.8, 76, 16),
    "rtx 4070 ti": ("Ada", "gpu", 80.2, 40.1, 504, 60, 12),
    "rtx 4000 ada": ("Ada", "gpu", 106.9, 26.7, 360, 48, 20),
    "rtx 5000 ada": ("Ada", "gpu", 261.1, 65.3, 576, 100, 32),
    "m1": ("Apple GPU", "soc", 2.6, 2.6, 68.3, 8, 8),
    "m2": ("Apple GPU", "soc", 3.6, 3.6, 102.4, 10, 8),
    "m3": ("Apple GPU", "soc", 3.5, 3.5, 102.4, 10, 8),
    "m1 pro": ("Apple GPU", "soc", 5.3, 5.3, 204.8, 16, 32),
    "m2 pro": ("Apple GPU", "soc", 6.8, 6.8, 204.8, 19, 32),
    "m3 pro": ("Apple GPU", "soc", 6.4, 6.4, 153.6, 18, 36),
}
"""Parts without a record of their own, from NVIDIA's GA102 (V2.0, 2020) and Ada (V2.01, 2023) architecture papers
and board data sheets, and Apple's specification pages. Apple prints no FLOP/s: ALUs x 2 x clock, as in the catalogue.
GeForce cards run tensor cores at half rate when they accumulate in fp32."""


def device_of_row(row: Row) -> Device | Unknown:
    """One device of the row's hardware."""
    found = _listed(row) or _named(row)
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


def instance_of(row: Row) -> tuple[Device, int] | None:
    """The chip of a cloud machine and how many it has, where the row names the machine."""
    key = str(row.hardware.get("key") or "")
    if key not in INSTANCES:
        return None
    chip, count, link = INSTANCES[key]
    return replace(device_of(find(chip)), link=link, domain=count), count


def _listed(row: Row) -> Device | None:
    key = row.hardware.get("catalogue_id")
    return _found(key) if isinstance(key, str) else None


def _found(name: str) -> Device | None:
    try:
        return device_of(find(name))
    except FlopsightError:
        return None


# ------------------------------------------------------------ by name


def _named(row: Row) -> Device | None:
    """A card or a Mac by the words a list of benchmarks calls it."""
    label = str(row.hardware.get("name") or "")
    words = _plain(label)
    if "one gcd" in words:
        return _half(words)
    if apple := re.match(r"m(\d) ?(pro|max|ultra)? ?(\d+)-core gpu", words):
        return _apple(apple, label)
    if words in ("h100 pcie", "a100 pcie", "a100 sxm"):
        return _found({"h100 pcie": "h100-pcie-80gb", "a100 pcie": "a100-pcie-80gb", "a100 sxm": "a100-80gb"}[words])
    numbers = CARDS.get(words) or CARDS.get(f"rtx {words}")
    if numbers is not None:
        return _card(label, numbers)
    return _found(words) or _found(f"rtx {words}")


def _plain(label: str) -> str:
    """ "3080 Ti 12GB" -> "3080 ti"; hyphens of every kind are one."""
    text = re.sub("[‐-―]", "-", label.lower()).replace("(", "").replace(")", "")
    text = re.sub(r"\b\d+ ?gb\b", " ", text.replace("nvidia", " ").replace("geforce", " "))
    return " ".join(text.split())


def _half(words: str) -> Device | None:
    """One of the two dies of an MI250X, which the driver shows as a device."""
    whole = _found("amd-mi250x") if "mi250x" in words or "mi-250x" in words else None
    if whole is None:
        return None
    return _scaled(whole, 0.5, f"{whole.label}, one die")


def scaled(device: Device, share: float, label: str) -> Device:
    """A part of a device, or several as one: rates, memory and links times a share."""
    return _scaled(device, share, label)


def _scaled(device: Device, share: float, label: str) -> Device:
    return replace(
        device, label=label, peaks={k: v * share for k, v in device.peaks.items()}, vector=device.vector * share,
        bandwidth=device.bandwidth * share, memory=device.memory * share, units=round(device.units * share),
        link=device.link * share, network=device.network * share,
    )  # fmt: skip


def _apple(found: re.Match[str], label: str) -> Device | None:
    """An Apple part with so many GPU cores: rates follow the cores, bandwidth the part."""
    base = f"m{found[1]}" + (f" {found[2]}" if found[2] else "")
    cores = int(found[3])
    listed = _found("apple-" + base.replace(" ", "-"))
    if listed is None:
        return _card(label, CARDS[base], cores) if base in CARDS else None
    share = cores / listed.units
    return replace(
        listed, id="", label=label, units=cores, vector=listed.vector * share,
        peaks={k: v * share for k, v in listed.peaks.items()},
    )  # fmt: skip


def _card(label: str, numbers: Numbers, cores: int = 0) -> Device:
    family, kind, matrix, vector, bandwidth, units, memory = numbers
    share = cores / units if cores else 1.0
    apple = kind == "soc"
    peaks = {"fp16": matrix * 1e12 * share} if apple else {"bf16": matrix * 1e12, "fp16": matrix * 1e12}
    if not apple and "ada" not in label.lower():
        peaks["fp16_acc16"] = 2 * peaks["fp16"]
    return Device(
        "", label, family=family, vendor="Apple" if apple else "NVIDIA", kind=kind, peaks=peaks,
        vector=vector * 1e12 * share, bandwidth=bandwidth * 1e9, memory=memory * 2**30, units=cores or units,
        link=0.0 if apple else 32e9, domain=8, notes=(f"{label} from its data sheet",),
    )  # fmt: skip
