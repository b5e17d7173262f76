"""The core of attention on one device: a fused kernel over queries and a cache.

    seconds = (start + (compute^3 + memory^3)^(1/3)) · factor
    compute = flops / rate / c         memory = bytes / bandwidth / b

c, b are one pair a kind of call, the same for every chip; the factor is a surface learned from measurements:

    prompt   over tokens a query sees in the mean (twice), blocks of 128 queries in the launch, width of a head
    decode   over bytes of the cache, sequences times key-value heads, query heads to each of them
    latent   the same two for multi-head latent attention: expanded over prompts, absorbed in decode over heads

A call is never faster than its FLOPs over the rate, nor than a cache that no second-level cache holds over the
bandwidth. Measurements are those of `predict/data/attention.json`; a chip without any takes its family's surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from flopsight.expr import Number
from flopsight.predict.device import Device
from flopsight.predict.kernels.grid import Grid, grid
from flopsight.predict.kernels.roofline import coefficients

BASE: Final = {
    "prompt": (5e-6, 0.6, 0.75), "decode": (4e-6, 0.4, 0.8), "latent_prompt": (5e-6, 0.5, 0.75),
    "latent_decode": (5e-6, 0.5, 0.75),
}  # fmt: skip
"""Start in seconds, share of the rate, share of the bandwidth: what the surfaces are factors on."""
SHARPNESS: Final = 3.0
"""Of the corner between compute and memory."""
BLOCK: Final = 128
"""Queries of one block of the launch."""
DECODED: Final = 8
"""Queries of a sequence up to which a call is a decode step with drafts, and not a prompt."""
CACHED: Final = 3.0
"""Caches below so many times the second-level cache may be read from it."""
BACKWARD: Final = 0.85
"""Rate of the fused backward kernel over that of the forward one (FlashAttention 2 and 3, see the data file)."""
CLASS_SPREAD: Final = 0.35


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of one device's shard: `heads` query heads over `kv_heads`, widths of key and value.

    latent    the cache is one vector for all heads (multi-head latent attention); widths are those absorbed
    expanded  of latent attention, key and value width together when a prompt is computed head by head
    """

    heads: int
    kv_heads: int
    key_width: int
    value_width: int
    latent: bool = False
    expanded: int = 0


def attention_seconds(
    device: Device, heads: Heads, *, sequences: Number, queries: Number, flops: Number, cache_bytes: Number,
    other_bytes: Number, compute: str = "bf16", cache_bits: float = 16.0,
) -> Number:  # fmt: skip
    """Seconds of one call.

    sequences, queries   B, and tokens computed now of each
    flops        executed: 2·B·h·(e+v)·pairs under the mask
    cache_bytes  keys and values read and written, in the cache's own format
    other_bytes  queries in and mix out
    cache_bits   of a cached element, which some kernels are slower for
    """
    asked = (device, heads, sequences, queries, flops, cache_bytes, other_bytes, compute, cache_bits)
    if isinstance(queries, int | float):
        return _decode(*asked) if queries <= DECODED else _prompt(*asked)
    import numpy as np

    return np.where(np.asarray(queries) <= DECODED, _decode(*asked), _prompt(*asked))


def _decode(
    device: Device, heads: Heads, sequences: Number, queries: Number, flops: Number, cache: Number, other: Number,
    compute: str, bits: float,
) -> Number:  # fmt: skip
    one = call(device, "latent_decode" if heads.latent else "decode", compute, bits)
    seconds = one.physical(flops, cache + other)
    if one.over is not None:
        place = sequences if heads.latent else sequences * heads.kv_heads
        group = queries * heads.heads / (1 if heads.latent else heads.kv_heads)
        seconds = seconds * one.over.factor(cache, place, group)
    return one.bounded(seconds, flops, cache)


def _prompt(
    device: Device, heads: Heads, sequences: Number, queries: Number, flops: Number, cache: Number, other: Number,
    compute: str, bits: float,
) -> Number:  # fmt: skip
    one = call(device, "latent_prompt" if heads.latent else "prompt", compute, bits)
    seconds = one.physical(flops, cache + other)
    if one.over is not None:
        width = (heads.latent and heads.expanded) or heads.key_width + heads.value_width
        seen = flops / (sequences * heads.heads * width * queries)
        blocks = sequences * heads.heads * -(-queries // BLOCK)
        seconds = seconds * one.over.factor(seen, blocks, width / 2)
    return one.bounded(seconds, flops, 0 * cache)


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of call on one device: start in seconds, seconds a FLOP and a byte, at light speed and as a share of it.

    cached  bytes below which a cache may be read from the second-level cache
    lacking seconds a FLOP that a capped matrix rate adds to what the rest of the kernel takes
    over    the learned factor
    """

    start: float
    flop: float
    byte: float
    slow_flop: float
    slow_byte: float
    cached: float
    lacking: float
    over: Grid | None

    def physical(self, flops: Number, moved: Number) -> Number:
        """start + (compute^3 + memory^3)^(1/3)."""
        busy, read = flops * self.slow_flop, moved * self.slow_byte
        return self.start + (busy * busy * busy + read * read * read) ** (1 / 3)

    def bounded(self, seconds: Number, flops: Number, cache: Number) -> Number:
        """Never under light speed; a capped rate takes its products longer, not the rest of the kernel."""
        seconds = seconds + flops * self.lacking
        if isinstance(seconds, float):
            read = cache * self.byte if cache > self.cached else 0.0
            return max(seconds, flops * self.flop, read)
        import numpy as np

        return np.maximum(np.maximum(seconds, flops * self.flop), cache * self.byte * (cache > self.cached))


_CALLS: dict[tuple[int, str, str, float], tuple[Device, Call]] = {}


def call(device: Device, kind: str, compute: str, bits: float) -> Call:
    """The constants of a kind of call on a device, made once; the device is kept so that its identity stays its own."""
    key = (id(device), kind, compute, bits)
    if key not in _CALLS:
        if len(_CALLS) > 4096:
            _CALLS.clear()
        _CALLS[key] = (device, _call(device, kind, compute, bits))
    return _CALLS[key][1]


def _call(device: Device, kind: str, compute: str, bits: float) -> Call:
    start, c, b = BASE[kind]
    flop = 1 / device.rate(compute) if device.peaks else 0.0
    byte, free = 1 / device.bandwidth, flop / device.cap
    over = surface(device, kind, compute, bits)
    return Call(start, flop, byte, free / c, byte / b, CACHED * device.l2, flop - free, over)


def attention_backward_seconds(
    device: Device, heads: Heads, *, sequences: Number, queries: Number, flops: Number, compute: str = "bf16"
) -> Number:
    """Seconds of the fused backward kernel; `flops` are those executed, 2.5 times the forward's."""
    ahead = _prompt(device, heads, sequences, queries, flops / 2.5, 0 * flops, 0 * flops, compute, 16.0)
    return ahead * 2.5 / BACKWARD


# ------------------------------------------------------------ coefficients


def surface(device: Device, kind: str, compute: str, bits: float) -> Grid | None:
    """The factor of this kind of call on this device, of its family, or of all that were measured."""
    return _surface(device.id, class_of(device.family, device.memory_kind), kind, _format(kind, compute, bits))


def class_of(family: str, memory_kind: str) -> str:
    """The class of a chip: its architecture, and whether its memory is that of graphics cards."""
    return f"{family} GDDR" if memory_kind.startswith("GDDR") else family


def _format(kind: str, compute: str, bits: float) -> str:
    """Formats as the data file names them: what is multiplied and what is cached."""
    cached = "fp8" if bits <= 9 else "bf16"
    return f"{'fp8' if compute == 'fp8' and kind == 'prompt' else 'bf16'}/{cached}"


@lru_cache(512)
def _surface(chip: str, family: str, kind: str, formats: str) -> Grid | None:
    data = coefficients("attention")
    if not data.get("axes"):
        return None
    found = _packed(data, chip, family, kind, formats)
    return None if found is None else grid(data["axes"][kind], found)


def _packed(data: dict[str, Any], chip: str, family: str, kind: str, formats: str) -> str | None:
    for formats_ in (formats, "bf16/bf16"):
        for where in (data["chips"].get(chip), data["classes"].get(family), data["classes"].get("all")):
            if where and formats_ in where.get(kind, {}):
                return str(where[kind][formats_])
    return None


def attention_spread(device: Device, *, decode: bool) -> float:
    """Standard deviation of log(measured / predicted) of one call: on shapes left out, or on chips left out."""
    data = coefficients("attention")
    known = "chips" if device.id in data["chips"] else "classes"
    found = data.get("spread", {}).get(known, {}).get("decode" if decode else "prompt", CLASS_SPREAD)
    return float(found) * (
        1.0 if known == "chips" or class_of(device.family, device.memory_kind) in data.get("classes", {}) else 1.5
    )
