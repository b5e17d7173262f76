"""A dense matrix product [m, k] x [k, n] on one device."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np

from flopsight.errors import UsageError
from flopsight.expr import Number
from flopsight.facts import Fact
from flopsight.hardware.catalog import find
from flopsight.hardware.dtype_names import dtype_name
from flopsight.hardware.own import without_own
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels.efficiency import Curve, Efficiency, Machine, Surface, efficiency, product_curve, surface
from flopsight.predict.kernels.roofline import coefficients

GRAPHICS_MEMORY: Final = 14e9
"""B/s of memory a unit, under which a chip has graphics memory: RTX cards have 5 to 11, those with HBM 16 and more."""
ACTIVATION: Final = {"fp8": 1.0, "mxfp8": 1.0, "int8": 1.0, "fp4": 0.5625, "int4": 0.5}
OTHERWISE: Final = {
    "fp8_block": ("fp8", "bf16"), "fp8": ("fp8_block", "bf16"), "fp4": ("fp8_block", "fp8", "bf16"),
    "int8": ("fp8", "bf16"), "fp8_w4": ("fp8_block", "fp8", "bf16"),
    "bf16_w8": ("bf16",), "bf16_w4": ("bf16_w8", "bf16"),
}  # fmt: skip
"""Which format's efficiency stands for one that was not measured on the chip."""
BORROWED: Final = 0.1
"""Spread that borrowing another format's efficiency adds, in quadrature with the rest."""


def gemm_seconds(
    device: Device, m: Number, n: int, k: int, *, compute: str = "bf16", weight_bits: float = 16.0, block: bool = False
) -> Number:
    """Seconds of one product; m may be an array, n and k are the device's own shard.

    compute, weight_bits  the format it multiplies in and bits a stored weight
    block                 scales lie on blocks of 128 (DeepSeek's fp8), not on tensors or rows
    The physical part and the surface of `efficiency`; never faster than 2·m·n·k over the peak, than n·k·w/8 over the
    bandwidth (a network's weights come from memory), than at a smaller m, or slower than the chip this one replaces.
    """
    return _curve(device, n, k, compute, weight_bits, block)(m)


def gemm_spread(device: Device, compute: str = "bf16", weight_bits: float = 16.0, block: bool = False) -> float:
    """Standard deviation of log(measured / predicted) for one product, on shapes (else chips) left out of the fit."""
    key = format_of(compute, weight_bits, block)
    found, _, borrowed = known("gemm", device, key)
    return float((found.spread**2 + (BORROWED**2 if borrowed else 0)) ** 0.5)


def activation_bytes(compute: str) -> float:
    """Bytes of an element as a product in this format reads it, scales included."""
    return ACTIVATION.get(compute, 2.0)


def format_of(compute: str, weight_bits: float, block: bool) -> str:
    """The key of a measured format: bf16, fp8, fp8_block, fp4, int8, or bf16 over weights stored in 8 or 4 bits."""
    name = dtype_name(compute)
    if name in ("fp8", "mxfp8"):
        return "fp8_block" if block or name == "mxfp8" else "fp8"
    if name in ("fp4", "int8"):
        return name
    if name == "int4":
        return "fp4"
    return "bf16" if weight_bits > 10 else "bf16_w8" if weight_bits > 6 else "bf16_w4"


def class_of(device: Device) -> str:
    """The family that stands for a chip: its architecture, apart where the same has graphics memory."""
    family = device.family or device.kind
    if device.units and device.vendor == "NVIDIA" and device.bandwidth / device.units < GRAPHICS_MEMORY:
        return f"{family}, graphics memory"
    return family


def known(room: str, device: Device, key: str) -> tuple[Efficiency, str, bool]:
    """The constants for a device and format, the name of their surface ("" if none) and whether they are borrowed.

    First the chip, then its family, then what is known of any chip; in each the format itself before its relatives.
    """
    data = coefficients(room)
    names = (key, *OTHERWISE.get(key, ()))
    own = data.get("chips", {}).get(device.id, {})
    for name in names:
        if name in own:
            return efficiency(own[name]), own[name].get("surface", ""), name != key
    classes = data.get("classes", {})
    family = class_of(device)
    for table in (classes.get(family if family in classes else LIKE.get(family, "any"), {}), classes.get("any", {})):
        for name in names:
            if name in table:
                return *_carried(device, name, table[name]), name != key
    return PLAIN, "", True


def _carried(device: Device, key: str, found: dict[str, Any]) -> tuple[Efficiency, str]:
    """The constants of a class on a chip of it: at its own rate a unit, and to its own published ceiling.

    The surface comes along where compute and memory are in nearly the same proportion as where it was measured.
    """
    e = efficiency(found)
    compute = key.partition("_")[0]
    rate = device.rate(compute) if device.has(compute) else max(device.peaks.values(), default=0.0)
    if device.units and "each" in found:
        e = e.on(min(max(rate / device.units / found["each"], 1 / MOST), MOST))
    balance = rate / device.bandwidth / found["balance"] if "balance" in found else 1.0
    published = _published(device.id, compute)
    if published:
        e = replace(e, compute=NEAR_BEST * published, ceiling=max(1.0, published))
    return e, found.get("surface", "") if 1 / ALIKE < balance < ALIKE else ""


MOST: Final = 4.0
"""Beyond this ratio of rates a unit the carrying rule is not believed further."""
ALIKE: Final = 1.6
"""Ratio of FLOP/s to B/s, up or down, within which a surface is carried to another chip."""
NEAR_BEST: Final = 0.97
"""Of the best shape in a search: what large shapes get in general."""


@cache
def _published(chip: str, compute: str) -> float:
    """The best published product of a chip over its data sheet; 0 where none is on record."""
    try:
        record = without_own(find(chip)) if chip else None
    except UsageError:
        return 0.0
    if record is None:
        return 0.0
    best, stated = record.peak(compute, basis="measured"), record.peak(compute)
    return float(best.value) / float(stated.value) if isinstance(best, Fact) and isinstance(stated, Fact) else 0.0


PLAIN: Final = Efficiency(4e-6, 0.7, 0.75, spread=0.4)
"""Where no file of coefficients is installed."""
LIKE: Final = {
    "Ampere, graphics memory": "Ada, graphics memory", "Turing, graphics memory": "Ada, graphics memory",
    "Ada": "Ada, graphics memory", "Volta, graphics memory": "Ampere", "Volta": "Ampere", "Rubin": "Blackwell",
}  # fmt: skip
"""The class that stands for a family nobody measured."""


@cache
def surface_of(room: str, name: str) -> Surface | None:
    """A surface of a file of coefficients by its name."""
    data = coefficients(room)
    packed = data.get("surfaces", {}).get(name)
    return None if packed is None else surface(data["axes"], packed)


@lru_cache(8192)
def _curve(device: Device, n: int, k: int, compute: str, weight_bits: float, block: bool) -> Curve:
    name = dtype_name(compute)
    e, over, _ = known("gemm", device, format_of(compute, weight_bits, block))
    machine = Machine(device.rate(name), device.bandwidth, device.units or UNITS)
    curve = product_curve(e, surface_of("gemm", over), machine, n, k, activation_bytes(name), weight_bits)
    replaced = before("gemm", device, name)
    if replaced is None:
        return curve
    older = _curve(replaced, n, k, compute, weight_bits, block)
    return Curve.of(np.minimum(curve.seconds, older.seconds))


UNITS: Final = 132
"""Units of a device whose count nobody gives."""


def before(room: str, device: Device, compute: str) -> Device | None:
    """The chip this one replaces, if it computes in the format."""
    data: dict[str, Any] = coefficients(room)
    older = data.get("after", {}).get(device.id)
    found = _device(older) if older else None
    return found if found is not None and found.has(compute) else None


@cache
def _device(name: str) -> Device | None:
    try:
        return device_of(find(name))
    except UsageError:
        return None
