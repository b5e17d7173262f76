"""Work that only moves memory: norms, activations, rotary embedding, lookups, copies, optimizer steps."""

from __future__ import annotations

from typing import Final

from flopsight.expr import Number
from flopsight.predict.device import Device
from flopsight.predict.kernels.roofline import roofline, start_of

CLASS_MEMORY: Final = 0.75
CLASS_SPREAD: Final = 0.3


def vector_seconds(device: Device, moved: Number, flops: Number = 0) -> Number:
    """Seconds of one kernel that moves `moved` bytes and does `flops` on the vector engine."""
    compute = flops / (0.5 * device.vector) if device.vector else 0 * moved
    return roofline(compute, moved / (device.bandwidth * CLASS_MEMORY), start_of(device))


def vector_spread(device: Device) -> float:
    """Standard deviation of log(measured / predicted)."""
    return CLASS_SPREAD
