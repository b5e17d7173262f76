"""A dense matrix product [m, k] x [k, n] on one device."""

from __future__ import annotations

from typing import Final

from flopsight.expr import Number
from flopsight.predict.device import Device
from flopsight.predict.kernels.roofline import roofline, start_of

CLASS_COMPUTE: Final = 0.75
CLASS_MEMORY: Final = 0.80
CLASS_SPREAD: Final = 0.25


def gemm_seconds(
    device: Device, m: Number, n: int, k: int, *, compute: str = "bf16", weight_bits: float = 16.0
) -> Number:
    """Seconds of one product; m may be an array, n and k are the device's own shard.

        compute 2·m·n·k / (rate · efficiency)      memory (m·k·a + n·k·w/8 + 2·m·n) / (bandwidth · efficiency)

    a bytes of an activation in the compute format, w bits a stored weight.
    """
    each = 1 if compute in ("fp8", "int8", "fp4") else 2
    flops = 2 * m * n * k
    moved = m * k * each + n * k * weight_bits / 8 + 2 * m * n
    return roofline(
        flops / (device.rate(compute) * CLASS_COMPUTE), moved / (device.bandwidth * CLASS_MEMORY), start_of(device)
    )


def gemm_spread(device: Device, compute: str = "bf16") -> float:
    """Standard deviation of log(measured / predicted) for one product."""
    return CLASS_SPREAD
