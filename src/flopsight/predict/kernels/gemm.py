"""A dense matrix product [m, k] x [k, n] on one device."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, Final

import numpy as np

from flopsight.errors import UsageError
from flopsight.expr import Number
from flopsight.hardware.catalog import find
from flopsight.hardware.dtype_names import dtype_name
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels.efficiency import Curve, Efficiency, Machine, Surface, efficiency, product_curve, surface
from flopsight.predict.kernels.roofline import coefficients

GRAPHICS_MEMORY: Final = 14e9
"""B/s of memory a unit, under which a chip has graphics memory: RTX cards have 5 to 11, those with HBM 16 and more."""
ACTIVATION: Final = {"fp8": 1.0, "mxfp8": 1.0, "int8": 1.0, "fp4": 0.5625, "int4": 0.5}
OTHERWISE: Final = {
    "fp8_block": ("fp8", "bf16"), "fp8": ("fp8_block", "bf16"), "fp4": ("fp8_block", "fp8", "bf16"),
    "int8": ("fp8", "bf16"), "bf16_w8": ("bf16",), "bf16_w4": ("bf16_w8", "bf16"),
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

    First the chip, then its family, then what is known of its kind; in each the format itself before its relatives.
    """
    data = coefficients(room)
    names = (key, *OTHERWISE.get(key, ()))
    classes = data.get("classes", {})
    family = class_of(device)
    alike = family if family in classes else LIKE.get(family, "any")
    for table in (data.get("chips", {}).get(device.id, {}), classes.get(alike, {}), classes.get("any", {})):
        for name in names:
            if name in table:
                return efficiency(table[name]), table[name].get("surface", ""), name != key
    return PLAIN, "", True


PLAIN: Final = Efficiency(4e-6, 0.7, 0.75, spread=0.4)
"""Where no file of coefficients is installed."""
LIKE: Final = {
    "Ampere, graphics memory": "Ada, graphics memory", "Turing, graphics memory": "Ada, graphics memory",
    "Ada": "Ada, graphics memory", "Volta, graphics memory": "Ampere", "Volta": "Ampere", "Rubin": "Blackwell",
}  # fmt: skip
"""The class that stands for a family nobody measured."""


@cache
def _surface(room: str, name: str) -> Surface | None:
    data = coefficients(room)
    packed = data.get("surfaces", {}).get(name)
    return None if packed is None else surface(data["axes"], packed)


@lru_cache(8192)
def _curve(device: Device, n: int, k: int, compute: str, weight_bits: float, block: bool) -> Curve:
    name = dtype_name(compute)
    e, over, _ = known("gemm", device, format_of(compute, weight_bits, block))
    machine = Machine(device.rate(name), device.bandwidth, device.units or UNITS)
    curve = product_curve(e, _surface("gemm", over), machine, n, k, activation_bytes(name), weight_bits)
    before = _before(device, name)
    if before is None:
        return curve
    older = _curve(before, n, k, compute, weight_bits, block)
    return Curve.of(np.minimum(curve.seconds, older.seconds))


UNITS: Final = 132
"""Units of a device whose count nobody gives."""


def _before(device: Device, compute: str) -> Device | None:
    """The chip this one replaces, if it computes in the format."""
    data: dict[str, Any] = coefficients("gemm")
    older = data.get("after", {}).get(device.id)
    found = _device(older) if older else None
    return found if found is not None and found.has(compute) else None


@cache
def _device(name: str) -> Device | None:
    try:
        return device_of(find(name))
    except UsageError:
        return None
