"""What all kernels share: the smooth roofline, and where coefficients come from.

A kernel takes `start + (compute^p + memory^p)^(1/p)`: compute and memory overlap, but not perfectly near the ridge.
Coefficients lie in `predict/data`, one file a kind of kernel, with the protocol and the error beside them.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from flopsight.expr import Number
from flopsight.predict.device import Device

SHARPNESS: Final = 4.0
START: Final = {"gpu": 2.5e-6, "tpu": 1.5e-6, "cpu": 5e-6}
"""Seconds from one kernel's end to the next one's first byte inside a captured graph; class-level."""


def roofline(compute: Number, memory: Number, start: float = 0.0, sharpness: float = SHARPNESS) -> Number:
    """Seconds of a kernel whose compute and memory phases take so long alone."""
    return start + (compute**sharpness + memory**sharpness) ** (1 / sharpness)


def start_of(device: Device) -> float:
    """The least time of a kernel on this class of device."""
    return START.get(device.kind, START["gpu"])


@cache
def coefficients(name: str) -> dict[str, Any]:
    """The calibration of one kind of kernel: `chips` by catalogue id, and what stands for the rest."""
    file = files("flopsight.predict").joinpath("data", f"{name}.json")
    if not file.is_file():
        return {"chips": {}}
    found: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    return found
