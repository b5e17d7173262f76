"""The products of routed experts on one device: many small matrices in one launch."""

from __future__ import annotations

from typing import Final

from flopsight.expr import Number
from flopsight.predict.device import Device
from flopsight.predict.kernels.roofline import roofline, start_of

CLASS_COMPUTE: Final = 0.60
CLASS_MEMORY: Final = 0.65
CLASS_SPREAD: Final = 0.35


def grouped_seconds(
    device: Device, rows: Number, visited: Number, n: int, k: int, *, compute: str = "bf16", weight_bits: float = 16.0
) -> Number:
    """Seconds of one grouped product: `rows` token visits in all over `visited` distinct experts of n x k each.

    compute 2·rows·n·k / (rate · efficiency)
    memory  (visited·n·k·w/8 + rows·(k·a + 2·n)) / (bandwidth · efficiency)
    """
    each = 1 if compute in ("fp8", "int8", "fp4") else 2
    flops = 2 * rows * n * k
    moved = visited * (n * k * weight_bits / 8) + rows * (k * each + 2 * n)
    return roofline(
        flops / (device.rate(compute) * CLASS_COMPUTE), moved / (device.bandwidth * CLASS_MEMORY), start_of(device)
    )


def grouped_spread(device: Device, compute: str = "bf16") -> float:
    """Standard deviation of log(measured / predicted) for one grouped product."""
    return CLASS_SPREAD
