"""What some engines do that is no sum of terms: caches read whole, weights unpacked into memory, kernels of their own.

Each habit is a rule of the engine's published code with one number in it; `predict/data/generation.json` holds the
numbers that were fitted.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

from flopsight.dtypes import dtype as number_format
from flopsight.models.ledger import Ledger
from flopsight.parts.attention import AttentionCore
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import Forward, forward
from flopsight.predict.kernels.roofline import coefficients, roofline
from flopsight.predict.step import Split

WHOLE_CACHE: Final = frozenset(("neuron", "compile"))
"""Engines whose caches have one shape for the whole generation: every step reads all of it."""
UNPACKS: Final = {"llamacpp": "prompts", "deepspeed": "always"}
"""Engines that write narrow weights out in 16 bits before a product: llama.cpp for prompts on NVIDIA and AMD parts (its
matrix products of quantized weights there went through cuBLAS), DeepSpeed's int8 kernels of 2022 always."""
STREAM: Final = 0.85
"""Share of the bandwidth that a kernel that only copies gets."""
_ASSUMED: Final = {"draw": 10.5e9, "operations": 30.0, "gathering": 3.0, "narrow": 1.15}
"""draw: bytes a second that one unit takes in llama.cpp's matrix-vector kernels, over the class's share of bandwidth;
operations: of Apple's vector engine for each narrow weight; gathering: Neuron's time for its cache over its bytes';
narrow: a compiled product of narrow weights over one of 16-bit weights, for the same bytes."""


def _number(name: str) -> float:
    return float(coefficients("generation").get("habits", {}).get(name, _ASSUMED[name]))


def _is(device: Device, *vendors: str) -> bool:
    return device.vendor.casefold() in vendors


def whole_cache(engine: Engine) -> bool:
    """Whether decode steps read the cache of the whole generation."""
    return engine.name in WHOLE_CACHE


def seen(engine: Engine, device: Device, *, prompts: bool) -> Device:
    """The device as an engine's kernels find it.

    llama.cpp multiplies prompts with 16-bit accumulation, which GeForce cards do at twice the rate, and its
    matrix-vector kernels draw a bounded number of bytes a second on each unit, which parts with HBM never reach.
    """
    return _seen(device, prompts) if engine.name == "llamacpp" and _is(device, "nvidia", "amd") else device


@lru_cache(256)
def _seen(device: Device, prompts: bool) -> Device:
    if prompts:
        fast = device.peaks.get("fp16_acc16", 0.0)
        return replace(device, peaks={**device.peaks, "fp16": fast, "bf16": fast}) if fast else device
    if not device.units:
        return device
    return replace(device, bandwidth=min(device.bandwidth, device.units * _number("draw")))


def kept(engine: Engine, device: Device, formats: Formats, *, prompts: bool) -> Formats:
    """The formats its products read: 16 bits where weights were unpacked before."""
    return replace(formats, weights="", head="") if _unpacks(engine, device, formats, prompts) else formats


def _unpacks(engine: Engine, device: Device, formats: Formats, prompts: bool) -> bool:
    when = UNPACKS.get(engine.name, "")
    return (
        _is_narrow(formats) and _is(device, "nvidia", "amd") and (when == "always" or (when == "prompts" and prompts))
    )


def _is_narrow(formats: Formats) -> bool:
    return bool(formats.weights) and number_format(formats.weights).bits < 16


def more(
    engine: Engine, book: Ledger, device: Device, plan: Plan, formats: Formats, kernels: Split, *, prompts: bool
) -> Split:
    """Seconds a step that a habit adds to kernels."""
    if _unpacks(engine, device, formats, prompts):
        return Split(weights=_unpacking(forward(book, device, plan, formats)))
    if engine.name == "llamacpp" and not prompts and _is(device, "apple") and formats.weights:
        return Split(compute=_operations(forward(book, device, plan, formats), kernels.weights))
    if engine.name == "compile" and not prompts and _is_narrow(formats):
        return Split(weights=kernels.weights * (_number("narrow") - 1))
    if engine.name == "neuron" and not prompts:
        return Split(cache=kernels.cache * (_number("gathering") * _copies(book, device) - 1))
    return Split()


def _copies(book: Ledger, device: Device) -> float:
    """How often Neuron keeps each key-value head: once on each of two cores a chip where heads are fewer than cores."""
    heads = max((one.part.kv_heads for one in book.leaves if isinstance(one.part, AttentionCore)), default=1)
    return max(1.0, 2 * device.domain / heads)


def _narrow(run: Forward) -> tuple[float, float]:
    """(elements, bytes) of the matrices kept in fewer than 16 bits, over all stages."""
    shard = run.shard
    kinds = [k for k, n in shard.elements.items() if n and k != "embedding" and shard.stored[k] < 1.9 * n]
    stages = run.plan.pp
    return stages * sum(shard.elements[k] for k in kinds), stages * sum(shard.stored[k] for k in kinds)


def _unpacking(run: Forward) -> float:
    """Narrow bytes read and 16 bits written for every weight."""
    elements, stored = _narrow(run)
    return (stored + 2 * elements) / (STREAM * run.device.bandwidth)


def _operations(run: Forward, waiting: float) -> float:
    """What unpacking in registers adds to waiting for weights: operations for each over the vector engine's rate."""
    if not run.device.vector:
        return 0.0
    elements, _ = _narrow(run)
    return float(roofline(elements * _number("operations") / run.device.vector, waiting)) - waiting
