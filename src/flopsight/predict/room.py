"""What a device holds in inference, the batch at which it breaks, and the smallest change that makes a run fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from flopsight.plan import Plan
from flopsight.predict.chosen import DEEPEST, legal
from flopsight.predict.forward import Forward, forward
from flopsight.predict.memory import cache_of, memory
from flopsight.predict.result import Ask, Room

SPARE: Final = 4e9
"""Bytes a device is taken to need beside weights and cache when devices are counted."""
USES: Final = ("weights", "cache", "activations", "buffers", "fragmentation")


def room_of(ask: Ask, run: Forward) -> Room:
    """What a device of the replica holds at the end of every answer, and how many sequences it could."""
    clients = ask.concurrency if ask.phase == "serve" else ask.batch
    found = memory(
        ask.book, run.device, ask.plan, ask.formats, ask.engine, concurrency=clients, isl=ask.isl, osl=ask.osl
    )
    uses = {name: float(getattr(found, name)) for name in USES}
    most = found.largest_batch * ask.plan.dp
    return Room(uses, run.device.memory, found.capacity, most, "concurrency" if ask.phase == "serve" else "batch")


def changes(ask: Ask) -> Iterator[tuple[str, Ask]]:
    """Changes that make a run smaller, the mildest first: the cache, the layout, the weights, weights and layout."""
    if ask.formats.cache != "fp8" and ask.device.has("fp8"):
        yield "--kv fp8", replace(ask, formats=replace(ask.formats, cache="fp8"))
    yield from _layouts(ask)
    for weights in ("fp8", "int4"):
        named, narrow = f"--weights {weights}", replace(ask.formats, weights=weights, experts="")
        yield named, replace(ask, formats=narrow)
        yield from ((f"{named} {told}", changed) for told, changed in _layouts(replace(ask, formats=narrow)))


def _layouts(ask: Ask) -> Iterator[tuple[str, Ask]]:
    for tp, pp in _deeper(ask):
        yield _layout(tp, pp), replace(ask, plan=replace(ask.plan, tp=tp, pp=pp, dp=ask.plan.devices // (tp * pp)))


def _layout(tp: int, pp: int) -> str:
    return f"--tp {tp}" + (f" --pp {pp}" if pp > 1 else "")


def _deeper(ask: Ask) -> Iterator[tuple[int, int]]:
    """Layouts of the same devices with fewer copies of the model."""
    plan, devices = ask.plan, ask.plan.devices // ask.plan.cp
    for split in (n for n in range(plan.tp * plan.pp + 1, min(devices, DEEPEST) + 1) if devices % n == 0):
        for tp in range(min(split, ask.device.domain), 0, -1):
            if (
                split % tp == 0
                and plan.ep == 1
                and legal(ask.book, replace(plan, tp=tp, pp=split // tp, dp=devices // split))
            ):
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
    whole = forward(ask.book, ask.device, Plan(), ask.formats)
    held = whole.shard.weights + cache_of(whole, ask.engine).bytes(ask.isl + ask.osl)
    each = ask.device.memory * ask.engine.fraction - SPARE
    count = max(ask.node.count + 1, -(-int(held) // int(max(1.0, each))))
    size = 1 << (count - 1).bit_length()
    return f"No format or layout makes it fit; {size} devices, sharing all weights, would."
