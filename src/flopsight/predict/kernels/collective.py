"""Collectives as latency and bandwidth, by algorithm and fabric."""

from __future__ import annotations

from typing import Final, Literal

from flopsight.expr import Number
from flopsight.predict.device import Device

Kind = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send"]

CLASS_LATENCY: Final = 8e-6
CLASS_BANDWIDTH: Final = 0.75
CLASS_SPREAD: Final = 0.3


def collective_seconds(
    device: Device, kind: Kind, size: Number, ranks: int, *, across: bool = False, custom: bool = False
) -> Number:
    """Seconds of one collective over `ranks` devices.

    size    bytes of the whole message: what every rank holds after an all-reduce or all-gather, or before a
            reduce-scatter; what one rank sends in all for an all-to-all; the message of a send
    across  the ranks lie in different fast domains and use the network
    custom  the one-shot kernels of inference engines, for small all-reduces inside a domain
    An all-reduce moves 2·(n-1)/n of the message over each device's links, the others half of that, a send all of it.
    """
    if ranks <= 1:
        return 0 * size
    rate = (device.network if across else device.link) or device.network or device.link
    share = (ranks - 1) / ranks
    times = {"all_reduce": 2 * share, "send": 1.0}.get(kind, share)
    latency = CLASS_LATENCY * (2 if across else 1)
    return latency + times * size / (rate * CLASS_BANDWIDTH)


def collective_spread(device: Device, *, across: bool = False) -> float:
    """Standard deviation of log(measured / predicted)."""
    return CLASS_SPREAD
