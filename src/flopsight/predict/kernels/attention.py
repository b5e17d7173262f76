"""The core of attention on one device: a fused kernel over queries and a cache.

    seconds = (start + each·B + launch·blocks + aside/bandwidth·x + (compute^3 + memory^3)^(1/3)) · factor
    compute = flops / rate / c         memory = (far + near/r) / bandwidth / b

B sequences; blocks of the launch are 128 queries of one head, or in decode one key-value head of one sequence;
the cache read is near where the second-level cache holds it, else far; aside is what is read and written once:
queries, mix, new keys and values. The seven constants and the factor, a surface, are learned from measurements for
each kind of call:

    prompt   over keys a query sees in the mean (twice), blocks, width of a head
    decode   over bytes of the cache that a block reads, blocks, query heads to each key-value head
    latent   the same two for multi-head latent attention: expanded over prompts, absorbed in decode over heads

A call is never faster than its FLOPs over the rate, nor than a cache that no second-level cache holds over the
bandwidth, and never shorter with more sequences, queries or past. Measurements are those of
`predict/data/attention.json`; a chip without any takes its family's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from flopsight.expr import Number
from flopsight.predict.device import Device
from flopsight.predict.kernels.grid import Grid, grid
from flopsight.predict.kernels.roofline import coefficients

PLAIN: Final = (8e-6, 0.0, 1e-8, 0.5, 0.8, 1.5, 2.0)
"""Start in seconds, seconds a sequence and a block, c, b, r, x: where nothing was measured."""
KEPT: Final = 0.7
"""Of the second-level cache that what is read again finds."""
UNITS: Final = 100
"""Units of the device that `each` and `launch` are for; more units take more at once."""
BLOCK: Final = 128
"""Queries of one block of the launch."""
DECODED: Final = 8
"""Queries of a sequence up to which a call is a decode step with drafts, and not a prompt."""
SHORT: Final = 512
"""Queries below which a prompt over a long cache is bound by reading it, as a decode step is."""
CACHED: Final = 3.0
"""Caches below so many times the second-level cache may be read from it."""
PIECE: Final = 16384
"""Values of an array worked on at once."""
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
    if not isinstance(flops, int | float) and flops.size > PIECE:
        return _pieces(*asked)
    if isinstance(queries, int | float):
        if queries <= DECODED:
            return _decode(*asked)
        found = _prompt(*asked)
        return found if queries >= SHORT else _larger(found, _reading(*asked))
    return _arrays(*asked)


def _pieces(device: Device, heads: Heads, *given: Any) -> Number:
    """Large arrays a piece at a time, so that what lies between stays in the processor's cache."""
    import numpy as np

    numbers, (compute, bits) = np.broadcast_arrays(*given[:5]), given[5:]
    found = np.empty(numbers[0].shape)
    flat, out = [one.reshape(-1) for one in numbers], found.reshape(-1)
    whole = isinstance(given[1], int | float)
    for at in range(0, out.size, PIECE):
        b, q, f, c, o = (one[at : at + PIECE] for one in flat)
        out[at : at + PIECE] = attention_seconds(
            device, heads, sequences=b, queries=given[1] if whole else q, flops=f, cache_bytes=c, other_bytes=o,
            compute=compute, cache_bits=bits,
        )  # fmt: skip
    return found


def _arrays(device: Device, heads: Heads, sequences: Number, queries: Number, *rest: Any) -> Number:
    """The same where queries differ from call to call."""
    import numpy as np

    queries = np.asarray(queries)
    if queries.min(initial=DECODED + 1) > DECODED:
        found = _prompt(device, heads, sequences, queries, *rest)
        if queries.min(initial=SHORT) >= SHORT:
            return found
        return np.where(queries < SHORT, _larger(found, _reading(device, heads, sequences, queries, *rest)), found)
    if queries.max(initial=0) <= DECODED:
        return _decode(device, heads, sequences, queries, *rest)
    prompt = _arrays(device, heads, sequences, np.maximum(queries, DECODED + 1), *rest)
    return np.where(queries <= DECODED, _decode(device, heads, sequences, queries, *rest), prompt)


def _reading(
    device: Device, heads: Heads, sequences: Number, queries: Number, flops: Number, cache: Number, other: Number,
    compute: str, bits: float,
) -> Number:  # fmt: skip
    """A decode step over what a prompt has cached: what its last few queries alone would take."""
    share = DECODED / queries
    held = cache - _new(heads, sequences, queries, flops, cache) * (1 - share)
    products = flops * (share * (heads.key_width + heads.value_width) / _width(heads))
    return _decode(device, heads, sequences, DECODED, products, held, other * share, compute, bits)


def _larger(a: Number, b: Number) -> Number:
    if isinstance(a, float) and isinstance(b, float):
        return a if a > b else b
    import numpy as np

    return np.maximum(a, b)


def _decode(
    device: Device, heads: Heads, sequences: Number, queries: Number, flops: Number, cache: Number, other: Number,
    compute: str, bits: float,
) -> Number:  # fmt: skip
    one = call(device, "latent_decode" if heads.latent else "decode", compute, bits)
    shared = 1 if heads.latent else heads.kv_heads
    blocks, group = sequences * shared, heads.heads / shared
    seconds = one.physical(sequences, blocks, flops, cache, other)
    return one.bounded(seconds * one.factor(cache / blocks, blocks, group), flops, cache)


def _prompt(
    device: Device, heads: Heads, sequences: Number, queries: Number, flops: Number, cache: Number, other: Number,
    compute: str, bits: float,
) -> Number:  # fmt: skip
    one = call(device, "latent_prompt" if heads.latent else "prompt", compute, bits)
    width = _width(heads)
    seen = flops / (sequences * (heads.heads * width) * queries)
    blocks = sequences * heads.heads * _larger(queries / BLOCK, 1.0)
    past = cache - _new(heads, sequences, queries, flops, cache)
    seconds = one.physical(sequences, blocks, flops, past, other + (cache - past))
    return one.bounded(seconds * one.factor(seen, blocks, width / 2), flops, past)


def _width(heads: Heads) -> int:
    """Of key and value together, as a prompt computes them."""
    return (heads.latent and heads.expanded) or heads.key_width + heads.value_width


def _new(heads: Heads, sequences: Number, queries: Number, flops: Number, cache: Number) -> Number:
    """Bytes of the cache that the queries themselves add: q of past + q keys; the mean of pairs is past + q/2."""
    mean = flops / (sequences * (2 * heads.heads * _width(heads)) * queries)
    return cache * (queries / _larger(mean + queries / 2, queries * 1.0))


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of call on one device: its constants in seconds a sequence, block, FLOP and byte.

    flop, byte  at light speed
    near, fits  share of a far byte's time that one of the second-level cache takes; bytes it holds
    lacking     seconds a FLOP that a capped matrix rate adds to what the rest of the kernel takes
    cached      bytes below which a cache may be read from the second-level cache
    over        the learned factor
    """

    start: float
    each: float
    launch: float
    slow_flop: float
    slow_byte: float
    near: float
    fits: float
    aside: float
    flop: float
    byte: float
    lacking: float
    cached: float
    over: Grid | None

    def physical(self, sequences: Number, blocks: Number, flops: Number, streamed: Number, aside: Number) -> Number:
        """Everything but the factor."""
        busy, read = flops * self.slow_flop, self.reading(streamed)
        core = (busy * busy * busy + read * read * read) ** (1 / 3)
        return self.start + self.each * sequences + self.launch * blocks + self.aside * aside + core

    def reading(self, streamed: Number) -> Number:
        """Of the cache: bytes that the second-level cache holds come faster."""
        far = 2 * (streamed - self.fits)
        if isinstance(streamed, int | float):
            far = min(max(far, 0.0), streamed)
        else:
            import numpy as np

            far = np.minimum(np.maximum(far, 0.0), streamed)
        return (far + (streamed - far) * self.near) * self.slow_byte

    def factor(self, x: Number, y: Number, z: Number) -> Number:
        """The surface at a point."""
        return 1.0 if self.over is None else self.over.factor(x, y, z)

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
        learned = _learned(device.id, class_of(device.family, device.memory_kind), kind, _format(kind, compute, bits))
        _CALLS[key] = (device, made(device, compute, *learned))
    return _CALLS[key][1]


def made(device: Device, compute: str, constants: tuple[float, ...], over: Grid | None) -> Call:
    """Constants of a surface as those of a device."""
    start, each, launch, c, b, near, x = constants
    flop = 1 / device.rate(compute) if device.peaks else 0.0
    byte, free, units = 1 / device.bandwidth, flop / device.cap, UNITS / (device.units or UNITS)
    return Call(start, each * units, launch * units, free / c, byte / b, 1 / near, KEPT * device.l2, byte * x, flop,
                byte, flop - free, CACHED * device.l2, over)  # fmt: skip


def attention_backward_seconds(
    device: Device, heads: Heads, *, sequences: Number, queries: Number, flops: Number, compute: str = "bf16"
) -> Number:
    """Seconds of the fused backward kernel; `flops` are those executed, 2.5 times the forward's."""
    ahead = _prompt(device, heads, sequences, queries, flops / 2.5, 0 * flops, 0 * flops, compute, 16.0)
    share, lost = _backward()
    keys = flops / (sequences * (5.0 * heads.heads * _width(heads)) * queries)
    return ahead * ((2.5 / share) * (1 + lost / keys))


@lru_cache(1)
def _backward() -> tuple[float, float]:
    """Rate of the backward kernel over the forward one's for many keys, and the keys at which it is halved."""
    known = coefficients("attention").get("backward", {})
    return float(known.get("share", 0.85)), float(known.get("lost", 0.0))


# ------------------------------------------------------------ coefficients


def class_of(family: str, memory_kind: str) -> str:
    """The class of a chip: its architecture, and whether its memory is that of graphics cards."""
    return f"{family} GDDR" if memory_kind.startswith("GDDR") else family


def _format(kind: str, compute: str, bits: float) -> str:
    """Formats as the data file names them: what is multiplied and what is cached."""
    cached = "fp8" if bits <= 9 else "bf16"
    return f"{'fp8' if compute == 'fp8' and kind == 'prompt' else 'bf16'}/{cached}"


@lru_cache(512)
def _learned(chip: str, family: str, kind: str, formats: str) -> tuple[tuple[float, ...], Grid | None]:
    """Constants and surface of this kind of call on this chip, of its family, or of all that were measured."""
    data = coefficients("attention")
    for formats_ in (formats, "bf16/bf16"):
        for where in (data["chips"].get(chip), _class(data, family), data.get("classes", {}).get("all")):
            if where and formats_ in where.get(kind, {}):
                *constants, packed = where[kind][formats_]
                return tuple(constants), grid(data["axes"][kind], packed)
    return PLAIN, None


def _class(data: dict[str, Any], family: str) -> Any:
    """What a class is said by: its own fit, or its only chip's."""
    found = data.get("classes", {}).get(family)
    return data["chips"][found] if isinstance(found, str) else found


def attention_spread(device: Device, *, decode: bool) -> float:
    """Standard deviation of log(measured / predicted) of one call: on shapes left out, or on chips left out."""
    found, kind = coefficients("attention").get("spread", {}), "decode" if decode else "prompt"
    own = found.get("chips", {}).get(device.id)
    if own:
        return float(own[kind])
    known = class_of(device.family, device.memory_kind) in coefficients("attention").get("classes", {})
    return float(found.get("family" if known else "all", {}).get(kind, CLASS_SPREAD))
