"""Work that only moves memory: norms, activations, rotary embedding, lookups, copies, optimizer steps.

    seconds = a + 2·k·sqrt(a·t) + t        t = (moved - far) / cache rate + far / memory rate

a seconds of an empty kernel, k the slow beginning of a stream; far = min(moved, 2·(moved - fits)) bytes, at least 0, do
not lie in the last cache any more: what the kernel before wrote is read from there as long as it fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from flopsight.expr import Number, minimum
from flopsight.predict.device import Device
from flopsight.predict.kernels.roofline import coefficients, roofline, start_of

VECTOR_SHARE: Final = 0.5
"""Of the vector engine's rate that such kernels reach; assumed, and rarely what binds."""
GRAPHICS: Final = 14e9
"""B/s a unit below which a GPU's memory is graphics memory: 6 to 10 on such cards, 15 and more with stacks."""


@dataclass(frozen=True, slots=True)
class Stream:
    """How one device streams: seconds of an empty kernel, rates in B/s, bytes that the cache keeps."""

    start: float
    bend: float
    memory: float
    near: float
    fits: float

    def seconds(self, moved: Number) -> Number:
        """Of a kernel that reads and writes so many bytes."""
        far = _between(2 * (moved - self.fits), moved)
        stream = (moved - far) / self.near + far / self.memory
        return self.start + 2 * self.bend * (self.start * stream) ** 0.5 + stream


def _between(value: Number, most: Number) -> Number:
    """The value, at least 0 and at most `most`."""
    if isinstance(value, int | float):
        return min(max(value, 0.0), most)
    least = minimum(value, most)
    return (least + abs(least)) / 2


def vector_seconds(device: Device, moved: Number, flops: Number = 0) -> Number:
    """Seconds of one kernel that moves `moved` bytes and does `flops` on the vector engine.

    Never faster than the bytes that do not fit the cache over the memory's bandwidth.
    """
    found = stream(device)
    seconds = found.seconds(moved)
    if (isinstance(flops, int | float) and not flops) or not device.vector:
        return seconds
    return roofline(flops / (VECTOR_SHARE * device.vector), seconds - found.start, found.start)


@lru_cache(256)
def stream(device: Device) -> Stream:
    """The device's own numbers, else those of its kind of memory and cache."""
    data = coefficients("vector")
    own = data["chips"].get(device.id)
    if own:
        memory = own["memory"] * device.bandwidth
        return Stream(own["start"] * 1e-6, own["bend"], memory, own["near"] * memory, own["fits"] * 1e6)
    one = _class(device)
    memory = one["memory"] * device.bandwidth
    start = one["start"] * 1e-6 if device.kind == "gpu" else start_of(device)
    return Stream(start, one["bend"], memory, one["near"] * memory, one["keeps"] * device.l2)


def _class(device: Device) -> dict[str, Any]:
    """Means of its kind of memory, of its family where known; a published memory test of the very chip goes first."""
    data, kind = coefficients("vector"), memory_kind(device)
    found: dict[str, Any] = data["classes"].get(f"{kind} {device.family}") or data["classes"][kind]
    seen = data["published"].get(device.id)
    return {**found, "memory": seen} if seen else found


def memory_kind(device: Device) -> str:
    """Graphics memory behind a large cache, or stacked and other memory."""
    graphics = device.kind == "gpu" and 0 < device.bandwidth < GRAPHICS * device.units
    return "graphics" if graphics else "stacked"


def vector_spread(device: Device) -> float:
    """Standard deviation of log(measured / predicted), from shapes or devices left out of the fit."""
    own = coefficients("vector")["chips"].get(device.id)
    return float(own["spread"] if own else _class(device)["spread"])
