"""The core of attention on one device: a fused kernel over queries and a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopsight.expr import Number
from flopsight.predict.device import Device
from flopsight.predict.kernels.roofline import roofline, start_of

CLASS_COMPUTE: Final = 0.55
CLASS_MEMORY: Final = 0.75
CLASS_START: Final = 6e-6
CLASS_SPREAD: Final = 0.25


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of one device's shard: `heads` query heads over `kv_heads`, widths of key and value.

    latent  the cache is one vector for all heads (multi-head latent attention, absorbed)
    """

    heads: int
    kv_heads: int
    key_width: int
    value_width: int
    latent: bool = False


def attention_seconds(
    device: Device, heads: Heads, *, sequences: Number, queries: Number, flops: Number, cache_bytes: Number,
    other_bytes: Number, compute: str = "bf16",
) -> Number:  # fmt: skip
    """Seconds of one call.

    sequences, queries   B, and tokens computed now of each
    flops        executed: 2·B·h·(e+v)·pairs under the mask
    cache_bytes  keys and values read and written, in the cache's own format
    other_bytes  queries in and mix out
    compute 1: flops / (rate · efficiency); memory: bytes / (bandwidth · efficiency)
    """
    return roofline(
        flops / (device.rate(compute) * CLASS_COMPUTE),
        (cache_bytes + other_bytes) / (device.bandwidth * CLASS_MEMORY),
        max(CLASS_START, start_of(device)),
    )


def attention_backward_seconds(
    device: Device, heads: Heads, *, sequences: Number, queries: Number, flops: Number, compute: str = "bf16"
) -> Number:
    """Seconds of the backward pass; `flops` are those executed, 2.5 times the forward's."""
    return roofline(flops / (device.rate(compute) * CLASS_COMPUTE * 0.8), 0 * flops, CLASS_START)


def attention_spread(device: Device, *, decode: bool) -> float:
    """Standard deviation of log(measured / predicted) for one call."""
    return CLASS_SPREAD
