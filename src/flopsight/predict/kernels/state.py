"""Recurrent mixers on one device: gated delta rules, state-space scans and the short convolutions before them.

    seconds = (start + flops / rate / c + bytes / bandwidth / b) · factor

bytes are states, activations in and out; the factor is a surface over FLOPs a byte of state (tokens of a sequence, but
for a constant), bytes, and FLOPs a byte. Constants and surfaces are those of `predict/data/state.json`, learned from
timings of gated delta rules; scans of other kinds take the same, with no measurement behind it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from flopsight.expr import Number
from flopsight.predict.device import Device
from flopsight.predict.kernels.grid import Grid, grid
from flopsight.predict.kernels.roofline import coefficients

PLAIN: Final = (3e-6, 0.15, 0.5)
"""Start in seconds, shares of rate and bandwidth, where nothing was measured."""
CLASS_SPREAD: Final = 0.6


def state_seconds(
    device: Device, *, tokens: Number, flops: Number, state_bytes: Number, other_bytes: Number, compute: str = "bf16"
) -> Number:
    """Seconds of one pass over a recurrence or a short convolution.

    tokens       computed now, of all sequences; without any nothing is launched
    flops        executed: the step form in decode, the chunked one in prompts
    state_bytes  states read and written, in the cache's format
    other_bytes  activations in and out, and the mixer's own weights
    Never faster than the FLOPs over the rate, nor than bytes that no second-level cache holds over the bandwidth.
    """
    constants, over = _learned(device)
    moved = state_bytes + other_bytes
    seconds = physical(device, compute, constants, flops, moved)
    if over is not None:
        seconds = seconds * over.factor(flops / state_bytes, moved, flops / moved)
    light, read = flops / device.rate(compute), (moved - 3 * device.l2) / device.bandwidth
    if isinstance(seconds, float):
        return max(seconds, light, read) if tokens else 0.0
    import numpy as np

    return np.maximum(np.maximum(seconds, light), read) * (np.asarray(tokens) > 0)


def physical(device: Device, compute: str, constants: tuple[float, ...], flops: Number, moved: Number) -> Number:
    """Everything but the factor."""
    start, c, b = constants
    return start + flops / (c * device.rate(compute)) + moved / (b * device.bandwidth)


def state_spread(device: Device) -> float:
    """Standard deviation of log(measured / predicted) of one call: on shapes left out, or on chips left out."""
    data = coefficients("state")
    if device.id in data["chips"]:
        return float(data["error"][device.id][3])
    known = [
        e[3] for name, e in data.get("error_of_chips_left_out", {}).items() if name.endswith(classes_of(device)[0])
    ]
    return max(known, default=CLASS_SPREAD)


def classes_of(device: Device) -> tuple[str, str]:
    """The classes of a device, the nearer first: its family, and its kind of memory."""
    graphics = device.memory_kind.startswith("GDDR")
    return (f"{device.family} GDDR" if graphics else device.family), ("GDDR" if graphics else "stacked")


@lru_cache(256)
def _learned(device: Device) -> tuple[tuple[float, ...], Grid | None]:
    data: dict[str, Any] = coefficients("state")
    kin = (data.get("classes", {}).get(name) for name in classes_of(device))
    for found in (data["chips"].get(device.id), *kin):
        if found:
            *constants, packed = found
            return tuple(constants), grid(data["axes"], packed)
    return PLAIN, None
