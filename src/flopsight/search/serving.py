"""Layouts of a server side by side: what each reaches at every load, and the best load that keeps the promise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Final

from flopsight.errors import UsageError
from flopsight.models.ledger import Ledger
from flopsight.plan import Formats
from flopsight.predict.device import Device
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import Forward, forward
from flopsight.predict.kernels.collective import collective_seconds
from flopsight.predict.memory import Memory, cache_of, memory
from flopsight.predict.memory_train import width
from flopsight.predict.pipeline import deal
from flopsight.predict.queueing import Load, Steady, Tables, Terms, steady
from flopsight.predict.serve import Requests, scene, sigmas, terms_of
from flopsight.predict.shard import depth
from flopsight.predict.step import Split
from flopsight.predict.tasks import HALF
from flopsight.search.flags.catalog import serving_engine
from flopsight.search.layouts import (
    CACHE,
    ENGINE,
    TPOT,
    TTFT,
    WEIGHTS,
    Layout,
    Tally,
    serving_layouts,
    shape,
)
from flopsight.search.target import Target
from flopsight.workload import Workload

Progress = Callable[[int, int], None]
PER_OCTAVE: Final = 1
TOGETHER: Final = 32
"""Layouts whose steady states are found in one go."""
ALIKE: Final = 0.01
"""Of two layouts whose rates differ by less, the one with fewer stages and then fewer devices a copy comes first."""
FINE: Final = 6
LOOKS: Final = 2
"""Loads tried between the last that keeps the promise and the first that breaks it, and how often: 1.4 % apart."""
BEYOND: Final = 2.0
"""Requests in flight tried at most, over those whose cache fits; the rest would only wait."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a server is planned for.

    formats      formats to try, by name
    isl, osl     prompt and answer tokens, means
    concurrency  requests in flight, all over the machine; None looks for the best
    """

    book: Ledger
    device: Device
    count: int
    engine: Engine
    formats: tuple[Formats, ...]
    isl: int
    osl: int
    target: Target
    concurrency: int | None = None

    def requests(self, concurrency: float) -> Requests:
        """The clients of one copy."""
        return Requests(max(1.0, concurrency), self.isl, self.osl)


@dataclass(frozen=True, slots=True)
class Point:
    """One layout at one load; seconds, and tokens a second.

    concurrency   requests in flight, all over the machine
    running       of them that decode
    decode, prefill   what makes up TPOT: a step, and other requests' prompts in a mean step
    sigma_tpot, sigma_ttft   standard deviation of log(measured / predicted)
    """

    concurrency: float
    running: float
    ttft: float
    tpot: float
    decode: float
    prefill: float
    sigma_tpot: float
    sigma_ttft: float
    devices: int

    @property
    def total(self) -> float:
        """Output tokens a second."""
        return self.running / self.tpot

    @property
    def per_device(self) -> float:
        """Of every device, idle ones too."""
        return self.total / self.devices

    @property
    def per_user(self) -> float:
        """Tokens a second one user sees."""
        return 1 / self.tpot

    def misses(self, target: Target) -> str:
        """Which promise it breaks; "" for none."""
        if target.tpot is not None and self.tpot * target.slack(self.sigma_tpot) > target.tpot:
            return TPOT
        if target.ttft is not None and self.ttft * target.slack(self.sigma_ttft) > target.ttft:
            return TTFT
        return ""


class Candidate:
    """A layout in some formats, what it holds, and its points by rising load.

    `best` is the point with the most tokens a second that keeps the promise; `bound` what ends the load there.
    """

    def __init__(self, ask: Ask, layout: Layout, formats: Formats) -> None:
        self.ask, self.layout, self.formats = ask, layout, formats
        self.made: Forward = forward(ask.book, ask.device, layout.plan, formats)
        self.points: list[Point] = []

    # ------------------------------------------------------------ memory

    @cached_property
    def held(self) -> Memory:
        """What a device holds while a step carries as many prompt tokens as the engine lets it."""
        ask, plan = self.ask, self.layout.plan
        each = max(1, -(-min(ask.engine.chunk, 2**20) // ask.isl))
        return memory(
            ask.book, ask.device, plan, self.formats, ask.engine, concurrency=each * plan.dp, isl=ask.isl, osl=ask.osl
        )

    @cached_property
    def seats(self) -> float:
        """Requests in the middle of their answers whose cache fits in one attention replica."""
        most = float(self.ask.engine.sequences)
        each = cache_of(self.made, self.ask.engine).bytes(round(self.ask.isl + self.ask.osl / 2))
        return min(most, max(1.0, self.held.room / each)) if each and self.ask.device.memory else most

    @property
    def room(self) -> float:
        """Requests whose cache fits, all over the machine."""
        return self.seats * self.layout.plan.dp * self.layout.copies

    def unfit(self) -> str:
        """Why it does not fit; "" where it does or the memory is not known."""
        if not self.ask.device.memory or self.held.starts:
            return ""
        return WEIGHTS if self.held.room <= 0 else CACHE

    # ------------------------------------------------------------ loads

    def loads(self) -> list[float]:
        """Requests in flight of one copy: the one asked, or from one to what the cache holds."""
        copies = self.layout.copies
        if self.ask.concurrency is not None:
            return [max(1.0, self.ask.concurrency / copies)]
        top = max(1.0, BEYOND * self.room / copies)
        return [2 ** (i / PER_OCTAVE) for i in range(math.floor(PER_OCTAVE * math.log2(top)) + 1)]

    def between(self) -> list[float]:
        """Loads around the best one, for a second look."""
        kept = [i for i, p in enumerate(self.points) if not p.misses(self.ask.target)]
        last = max(kept, default=-1)
        if self.ask.concurrency is not None or last < 0 or last + 1 >= len(self.points):
            return []
        low, high = (self.points[i].concurrency / self.layout.copies for i in (last, last + 1))
        return [low * (high / low) ** (i / (FINE + 1)) for i in range(1, FINE + 1)]

    @property
    def best(self) -> Point | None:
        """The most tokens a second with the promise kept."""
        kept = [p for p in self.points if not p.misses(self.ask.target)]
        return max(kept, key=lambda p: p.total, default=None)

    @property
    def bound(self) -> str:
        """What ends the load of the best point: tpot, ttft, cache, asked or gain (more requests would only wait)."""
        best = self.best
        if self.ask.concurrency is not None:
            return "asked"
        after = [p for p in self.points if best and p.concurrency > best.concurrency]
        if best is None or not after:
            return "cache"
        miss = after[0].misses(self.ask.target)
        return {TPOT: "tpot", TTFT: "ttft"}.get(miss, "cache" if after[0].concurrency > self.room else "gain")

    def wanting(self) -> str:
        """The promise that its lightest load breaks."""
        return min(self.points, key=lambda p: p.concurrency).misses(self.ask.target)

    # ------------------------------------------------------------ causes

    def causes(self, point: Point) -> dict[str, float]:
        """Device-seconds of one output token by cause; they add up to devices over tokens a second."""
        layout, each = self.layout, point.running / (self.layout.copies * self.layout.plan.dp * self.batches(point))
        past = round(self.ask.isl + self.ask.osl / 2)
        step = self._step(max(1, round(each)), past)
        prompts = self.made.split(Workload("prefill", 1, max(1, self.ask.isl)))
        split = step * (point.decode / step.total) + prompts * (point.prefill / prompts.total)
        used = layout.devices - layout.idle
        found = {f.name: getattr(split, f.name) * used / point.running for f in fields(Split)}
        return {**found, "idle": layout.idle * point.tpot / point.running}

    def _step(self, batch: int, past: int) -> Split:
        """A decode step by cause, with what the engine adds."""
        engine, terms = self.ask.engine, terms_of(self.made, self.ask.requests(1), self.ask.engine)
        kernels = self.made.split(Workload("decode", batch, 1, past)) * float(terms.kernels)
        host = engine.host + engine.per_sequence * batch
        return kernels + Split(launch=max(0.0, float(terms.step) - engine.host), host=host)

    def batches(self, point: Point) -> float:
        """Batches of one replica in flight: one a pipeline stage, if there are requests for each."""
        return min(float(self.layout.plan.pp), max(1.0, point.concurrency / self.layout.copies / self.layout.plan.dp))


# ------------------------------------------------------------ the search


def search(ask: Ask, tally: Tally, progress: Progress = lambda done, total: None) -> list[Candidate]:
    """Every layout that fits, with its points; those that keep the promise first, by tokens a second.

    Looked at and refused layouts go to the tally.
    """
    found = list(fitting(ask, tally))
    for start in range(0, len(found), TOGETHER):
        some = found[start : start + TOGETHER]
        _fill([(one, load) for one in some for load in one.loads()])
        for _ in range(LOOKS):
            _fill([(one, load) for one in some for load in one.between()])
        progress(start + len(some), len(found))
    for one in found:
        if one.best is None:
            tally.refuse(one.wanting() or TPOT)
    return ordered(found)


def ordered(found: Sequence[Candidate]) -> list[Candidate]:
    """By tokens a second; among those alike the simplest first."""
    most = max((one.best.total for one in found if one.best), default=0.0)

    def key(one: Candidate) -> tuple[float, ...]:
        if one.best is None:
            return (math.inf, 0, 0, 0)
        behind = math.floor(math.log(most / one.best.total) / ALIKE)
        return behind, one.layout.plan.pp, one.layout.plan.devices, -one.best.total

    return sorted(found, key=key)


def fitting(ask: Ask, tally: Tally) -> Iterable[Candidate]:
    """Layouts that the engine can run and the memory holds."""
    writer = serving_engine(ask.engine.name)
    for formats in ask.formats:
        of = shape(ask.book, stored=not formats.weights)
        for layout in serving_layouts(of, ask.device, ask.count, tally):
            if writer is not None and writer.cannot(layout.plan, routed=of.routed):
                tally.refuse(ENGINE)
                continue
            one = Candidate(ask, layout, formats)
            why = one.unfit()
            if why:
                tally.refuse(why)
            else:
                yield one


def _fill(asked: Sequence[tuple[Candidate, float]]) -> None:
    """The points of these loads of one copy, all in one go."""
    if not asked:
        return
    batches = [min(float(one.layout.plan.pp), max(1.0, load / one.layout.plan.dp)) for one, load in asked]
    found = steady(*_joined([_scene(one, load / n, n) for (one, load), n in zip(asked, batches, strict=True)]))
    for i, ((one, load), n) in enumerate(zip(asked, batches, strict=True)):
        one.points.append(_point(one, load, n, found, i))
    for one in {id(one): one for one, _ in asked}.values():
        one.points.sort(key=lambda p: p.concurrency)


def _point(one: Candidate, load: float, batches: float, found: Steady, i: int) -> Point:
    ask, plan, copies = one.ask, one.layout.plan, one.layout.copies
    busy = copies if ask.concurrency is None else min(copies, ask.concurrency)
    whole = load * one.layout.copies if ask.concurrency is None else float(ask.concurrency)
    tpot, ttft = float(found.tpot[i]), float(found.ttft[i])
    sigma = sigmas(one.made, ask.requests(load), ask.engine, queued=whole > one.room)
    return Point(
        whole, float(found.running[i]) * plan.dp * batches * busy, ttft, tpot, float(found.decode[i]),
        float(found.prefill[i]), *sigma, ask.count,
    )  # fmt: skip


def _scene(one: Candidate, load: float, batches: float) -> tuple[Tables, Load, Terms]:
    """One batch of one copy. Batches of a pipeline share the cache, and prompts of any of them hold up all of them.

    pp batches go round pp stages; where one of them carries prompts, its stages take longer and the others wait, as
    replicas do that step together.
    """
    ask, plan = one.ask, one.layout.plan
    tables, clients, terms = scene(one.made, ask.requests(load), ask.engine)
    clients = replace(clients, seats=0 * clients.seats + one.seats / batches, ranks=clients.ranks * batches)
    if plan.pp == 1:
        return tables, clients, terms
    running, prompts = tables.running * clients.clients, tables.prompts * ask.isl
    decode = tables.decode + _hops(one, running) + _uneven(one, tables.decode, running, batches)
    return replace(tables, decode=decode, prefill=tables.prefill + _hops(one, prompts)), clients, terms


def _uneven(one: Candidate, decode: Any, batch: Any, batches: float) -> Any:
    """Seconds a step waits for the slowest stage, once every stage has a batch: more layers, or the head.

    A full pipeline takes pp times its slowest stage: L·t + pp·h for equal stages with the head's h on the last.
    """
    pp, layers = one.layout.plan.pp, depth(one.ask.book)
    head = one.made.curve("scored")(batch)
    longest = max(deal(layers, pp)) * pp / layers
    return (batches - 1) / (pp - 1) * ((longest - 1) * (decode - head) + (pp - 1) * head)


def _hops(one: Candidate, tokens: Any) -> Any:
    """Seconds of handing the residual stream of so many tokens from stage to stage, each tensor rank its share."""
    plan, device = one.layout.plan, one.ask.device
    size = tokens * width(one.ask.book) * HALF / plan.tp
    return (plan.pp - 1) * collective_seconds(device, "send", size, 2, across=plan.devices > device.domain)


def _joined(scenes: Sequence[tuple[Tables, Load, Terms]]) -> tuple[Tables, Load, Terms]:
    """Scenes that share their knots as one."""
    import numpy as np

    first = scenes[0][0]
    tables = Tables(
        first.running, np.concatenate([t.decode for t, _, _ in scenes]), first.prompts,
        np.concatenate([t.prefill for t, _, _ in scenes]),
    )  # fmt: skip
    loads = Load(*(np.concatenate([getattr(s[1], f.name) for s in scenes]) for f in fields(Load)))
    terms = Terms(*(np.array([float(getattr(s[2], f.name)) for s in scenes]) for f in fields(Terms)))
    return tables, loads, terms


# ------------------------------------------------------------ where nothing fits


def remedies(ask: Ask, most: int = 4096) -> list[str]:
    """What would make a model fit: formats first, the mildest first, then more devices."""
    found = []
    for told, formats in _smaller(ask):
        if _fits(replace(ask, formats=(formats,))):
            found.append(told)
            break
    count = ask.count
    while count < most:
        count *= 2
        if _fits(replace(ask, count=count)):
            found.append(f"{count} devices")
            break
    return found


def _smaller(ask: Ask) -> list[tuple[str, Formats]]:
    base = ask.formats[0]
    eight, told = replace(base, cache="fp8"), [("--kv fp8", replace(base, cache="fp8"))]
    for weights in ("fp8", "nvfp4" if ask.device.has("fp4") else "int4"):
        told.append((f"--weights {weights}", replace(base, weights=weights, experts="")))
        told.append((f"--weights {weights} --kv fp8", replace(eight, weights=weights, experts="")))
    return told


def _fits(ask: Ask) -> bool:
    try:
        return next(iter(fitting(ask, Tally())), None) is not None
    except UsageError:
        return False


def closest(found: Sequence[Candidate], target: Target) -> tuple[Candidate, Point]:
    """The layout and load that come nearest to a promise nobody keeps: the least of the worst ratio."""
    every = [(one, point) for one in found for point in one.points]
    return min(every, key=lambda pair: excess(pair[1], target))


def excess(point: Point, target: Target) -> float:
    """The worse of the two times over what was promised."""
    ratios = [
        seconds * target.slack(sigma) / limit
        for seconds, sigma, limit in (
            (point.tpot, point.sigma_tpot, target.tpot), (point.ttft, point.sigma_ttft, target.ttft),
        ) if limit is not None
    ]  # fmt: skip
    return max(ratios, default=0.0)
