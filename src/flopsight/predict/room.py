"""What a device holds in inference, the batch at which it breaks, and the smallest change that makes a run fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from flopsight.predict.forward import Forward, forward
from flopsight.predict.result import Ask, Room
from flopsight.predict.serve import cache_bytes

ACTIVATIONS: Final = 0.02
"""Of a device's memory, for activations of a step and captured graphs."""
MOST: Final = 2**20


def room_of(ask: Ask, run: Forward) -> Room:
    """Weights, cache at the end of every answer, activations; the largest batch whose cache fits."""
    device, each = run.device, cache_bytes(run, float(ask.isl + ask.osl))
    sequences = -(-ask.concurrency // ask.plan.dp) if ask.phase == "serve" else ask.each
    uses = {"weights": run.shard.weights, "cache": each * sequences, "activations": ACTIVATIONS * device.memory}
    allowed = device.memory * ask.engine.fraction
    free = allowed - uses["weights"] - uses["activations"]
    most = min(MOST, int(free // each)) * ask.plan.dp if free > 0 and each else MOST if free > 0 else 0
    return Room(uses, device.memory, allowed, most, "concurrency" if ask.phase == "serve" else "batch")


def changes(ask: Ask) -> Iterator[tuple[str, Ask]]:
    """Single changes that make a run smaller, the mildest first."""
    if ask.formats.cache != "fp8" and ask.device.has("fp8"):
        yield "--kv fp8", replace(ask, formats=replace(ask.formats, cache="fp8"))
    for tp, pp in _deeper(ask):
        yield _layout(tp, pp), replace(ask, plan=replace(ask.plan, tp=tp, pp=pp, dp=ask.plan.devices // (tp * pp)))
    for weights in ("fp8", "int4"):
        yield f"--weights {weights}", replace(ask, formats=replace(ask.formats, weights=weights, experts=""))


def _layout(tp: int, pp: int) -> str:
    return f"--tp {tp}" + (f" --pp {pp}" if pp > 1 else "")


def _deeper(ask: Ask) -> Iterator[tuple[int, int]]:
    """Layouts of the same devices with fewer copies of the model."""
    from flopsight.predict.chosen import legal

    plan, devices = ask.plan, ask.plan.devices // ask.plan.cp
    for split in range(plan.tp * plan.pp + 1, devices + 1):
        for tp in range(min(split, ask.device.domain), 0, -1):
            fits = devices % split == 0 and split % tp == 0
            if fits and plan.ep == 1 and legal(ask.book, replace(plan, tp=tp, pp=split // tp, dp=devices // split)):
                yield tp, split // tp
                break


def advice(ask: Ask, found: Room) -> str:
    """A sentence on the smallest change that fits."""
    if found.most:
        return f"The largest that fits is --{found.what} {found.most}."
    for told, changed in changes(ask):
        run = forward(changed.book, changed.device, changed.plan, changed.formats)
        if room_of(changed, run).fits:
            return f"It fits with {told}."
    return _more(ask)


def _more(ask: Ask) -> str:
    """How many devices hold the weights and the cache, shared evenly."""
    from flopsight.plan import Plan

    whole = forward(ask.book, ask.device, Plan(), ask.formats)
    held = whole.shard.weights + cache_bytes(whole, float(ask.isl + ask.osl))
    each = ask.device.memory * (ask.engine.fraction - ACTIVATIONS)
    count = max(ask.node.count + 1, -(-int(held) // int(each)))
    size = 1 << (count - 1).bit_length()
    return f"No format or layout makes it fit; {size} devices, sharing all weights, would."
