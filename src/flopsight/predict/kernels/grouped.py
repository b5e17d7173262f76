"""The products of routed experts on one device: many small matrices in one launch."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np

from flopsight.expr import Number
from flopsight.hardware.dtype_names import dtype_name
from flopsight.predict.device import Device
from flopsight.predict.kernels.efficiency import TILE, Efficiency, Machine, Surface, Vector
from flopsight.predict.kernels.gemm import BORROWED, UNITS, activation_bytes, before, format_of, known, surface_of

Many: TypeAlias = float | Vector


def grouped_seconds(
    device: Device, rows: Number, visited: Number, n: int, k: int, *, compute: str = "bf16", weight_bits: float = 16.0,
    block: bool = False,
) -> Number:  # fmt: skip
    """Seconds of one grouped product: `rows` token visits in all over `visited` distinct experts of n x k each.

    compute 2·rows·n·k / rate      memory (visited·n·k·w/8 + rows·(k·a + 2·n)) / bandwidth
    through the constants and the surface of `efficiency`, over rows an expert, experts visited and n·k; a share of
    routing, permuting and combining is inside. Never under either at full speed; w bits a stored weight, a bytes an
    activation; block as for a dense product.
    """
    found: Number = _least(device, rows, visited, n, k, compute, weight_bits, block)
    return found


def _least(
    device: Device, rows: Number, visited: Number, n: int, k: int, compute: str, weight_bits: float, block: bool
) -> Many:
    """The time on this chip, or on the one it replaces where that was measured faster."""
    e, over, machine, replaced = _known(device, compute, weight_bits, block)
    found = grouped_time(e, over, machine, rows, visited, n, k, compute, weight_bits)
    if replaced is None:
        return found
    older = _least(replaced, rows, visited, n, k, compute, weight_bits, block)
    return np.minimum(found, older) if isinstance(found, np.ndarray) else min(found, older)


def grouped_spread(device: Device, compute: str = "bf16", weight_bits: float = 16.0, block: bool = False) -> float:
    """Standard deviation of log(measured / predicted) for one grouped product, on layers (else chips) left out."""
    found, _, borrowed = known("grouped", device, _format(compute, weight_bits, block))
    return float((found.spread**2 + (BORROWED**2 if borrowed else 0)) ** 0.5)


def grouped_time(
    e: Efficiency, over: Surface | None, machine: Machine, rows: Many, visited: Many, n: Many, k: Many, compute: str,
    weight_bits: float,
) -> Many:  # fmt: skip
    """Seconds with the surface, and never under light speed."""
    seconds = grouped_physical(e, machine, rows, visited, n, k, compute, weight_bits)
    if over is not None:
        each = _at_least(rows / _at_least(visited, 1.0), 1.0)
        seconds = seconds * 2.0 ** over.at(each, visited, n * k)
    floor = _at_least(
        2 * rows * n * k / (machine.rate * e.ceiling), visited * (n * k * weight_bits / 8) / machine.bandwidth
    )
    return _at_least(seconds, floor)


def grouped_physical(
    e: Efficiency, machine: Machine, rows: Many, visited: Many, n: Many, k: Many, compute: str, weight_bits: float
) -> Many:
    """Seconds by the constants alone."""
    flops = 2 * rows * n * k / machine.rate
    moved = visited * (n * k * weight_bits / 8) + rows * (k * activation_bytes(compute) + 2 * n)
    waves = _at_least(rows, 1e-3) * n / (TILE * TILE * machine.units)
    found: Many = e.seconds(flops, moved / machine.bandwidth, waves, k)
    return found


def machine_of(device: Device, compute: str) -> Machine:
    """What a product in this format sees; bf16's rate where the device has no engine for it."""
    name = dtype_name(compute)
    rate = device.rate(name if device.has(name) or not device.has("bf16") else "bf16")
    return Machine(rate, device.bandwidth, device.units or UNITS)


def _at_least(value: Many, least: Many) -> Many:
    if isinstance(value, np.ndarray) or isinstance(least, np.ndarray):
        return np.maximum(value, least)
    return max(value, least)


def _format(compute: str, weight_bits: float, block: bool) -> str:
    key = format_of(compute, weight_bits, block)
    return "fp8_w4" if key.startswith("fp8") and weight_bits < 6 else key


@lru_cache(1024)
def _known(
    device: Device, compute: str, weight_bits: float, block: bool
) -> tuple[Efficiency, Surface | None, Machine, Device | None]:
    e, name, _ = known("grouped", device, _format(compute, weight_bits, block))
    machine = Machine(device.rate(compute), device.bandwidth, device.units or UNITS)
    return e, surface_of("grouped", name), machine, before("grouped", device, compute)
