"""Layouts of a training run side by side: parallelism, sharding, recompute and micro-batches, by predicted time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from flopsight.errors import UsageError
from flopsight.models.ledger import Ledger
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device
from flopsight.predict.forward import Forward, forward
from flopsight.predict.framework import Framework
from flopsight.predict.memory_train import Memory, memory_train
from flopsight.predict.pipeline import chunks as chunk_layers
from flopsight.predict.train import Batch, TrainStep, step
from flopsight.search.layouts import DEPTH, EXPERTS, HEADS, LINKS, Shape, Tally, divisors, shape

Progress = Callable[[int, int], None]
Recompute = tuple[str, ...]

FULL: Final = 0.95
"""Of a device's memory; the rest is left to what the allocator cannot use."""
MICRO: Final = (1, 2, 4, 8, 16)
CHUNKS: Final = (1, 2, 3, 4, 6, 8, 12)
RECOMPUTES: Final = ("none", "selective", "full")
SHORTEST: Final = 4096
"""Tokens of a sequence that one device of a context-parallel group keeps at least."""
ALIKE: Final = 0.005
"""Of two layouts whose times differ by less, the one with fewer stages and then a smaller tp comes first."""
BATCH: Final = "the global batch does not divide"
STAGES: Final = "a stage between the ends has no layer"
INTERLEAVED: Final = "micro-batches are no multiple of the stages, which interleaving needs"
MEMORY: Final = "does not fit in memory"


@dataclass(frozen=True, slots=True)
class TrainAsk:
    """What a training run is planned for; `formats` of its products, `soft` the class of software that runs it."""

    book: Ledger
    device: Device
    count: int
    soft: Framework
    formats: Formats
    seq: int
    global_batch: int
    optimizer: str = "adam"

    def batch(self, micro: int) -> Batch:
        """What one step trains on."""
        return Batch(self.seq, self.global_batch, micro, optimizer=self.optimizer, fused=self.soft.flash)


@dataclass(frozen=True, slots=True)
class Run:
    """A layout with its micro-batch, and its step."""

    plan: Plan
    micro_batch: int
    step: TrainStep

    @property
    def degrees(self) -> tuple[int, ...]:
        """What makes two layouts different: how devices share the work, not how much is run again."""
        p = self.plan
        return p.tp, p.cp, p.pp, p.dp, p.ep, p.zero, p.hsdp

    @property
    def memory(self) -> Memory:
        """What the fullest device holds."""
        return self.step.memory

    def causes(self) -> dict[str, float]:
        """Device-seconds of one trained token by part of the step; they add up to devices over tokens a second."""
        each = self.plan.devices / self.step.tokens
        found: dict[str, float] = {}
        for part in self.step.parts:
            name = "matrix" if part.name.startswith("matrix") else part.name
            found[name] = found.get(name, 0.0) + part.seconds * each
        return found


def search(ask: TrainAsk, tally: Tally, progress: Progress = lambda done, total: None) -> list[Run]:
    """Every layout that fits, fastest first."""
    asked = list(training_plans(ask, tally))
    found = []
    for index, (plan, micro) in enumerate(asked):
        one = run_of(ask, plan, micro)
        if one is None:
            tally.refuse(MEMORY)
        else:
            found.append(one)
        if index % 64 == 63 or index + 1 == len(asked):
            progress(index + 1, len(asked))
    return ordered(found)


def ordered(found: Sequence[Run]) -> list[Run]:
    """By time; among those alike the simplest first."""
    least = min((one.step.seconds for one in found), default=0.0)

    def key(one: Run) -> tuple[float, ...]:
        behind = math.floor(math.log(one.step.seconds / least) / ALIKE)
        return behind, one.plan.pp, one.plan.tp, one.plan.cp, one.step.seconds

    return sorted(found, key=key)


def distinct(found: Sequence[Run]) -> list[Run]:
    """The fastest of each way to share devices."""
    seen: dict[tuple[int, ...], Run] = {}
    for one in found:
        seen.setdefault(one.degrees, one)
    return list(seen.values())


def run_of(ask: TrainAsk, plan: Plan, micro: int) -> Run | None:
    """The step with the least recompute that fits; None where not even full recompute does."""
    batch, formats = ask.batch(micro), _stored(ask.formats)
    base = forward(ask.book, ask.device, plan, formats, training=True)
    full = _again(base, plan.with_(recompute="full"))
    if not fits(ask, full, batch):
        return None
    lighter = (_again(base, plan.with_(recompute=kind)) for kind in RECOMPUTES[:-1])
    made = next((one for one in lighter if fits(ask, one, batch)), full)
    return Run(made.plan, micro, step(made, batch, ask.soft))


def fits(ask: TrainAsk, made: Forward, batch: Batch) -> bool:
    """Whether the fullest device holds it; True where the memory is not known."""
    return not ask.device.memory or memory_train(made, batch).total <= FULL * ask.device.memory


def _stored(formats: Formats) -> Formats:
    return formats if formats.weights else replace(formats, weights="bf16")


def _again(base: Forward, plan: Plan) -> Forward:
    """The same shards under a plan that differs in what is run again."""
    from copy import copy

    made = copy(base)
    made.plan = plan
    return made


# ------------------------------------------------------------ which layouts


def training_plans(ask: TrainAsk, tally: Tally) -> Iterator[tuple[Plan, int]]:
    """Every plan and micro-batch that divides devices, model and batch; the rest goes to the tally."""
    of = shape(ask.book, stored=False)
    for tp, pp, cp in degrees(ask, of, tally):
        dp = ask.count // (tp * pp * cp)
        if ask.global_batch % dp:
            tally.seen += 1
            tally.refuse(BATCH)
            continue
        for plan in _variants(ask, of, Plan(tp=tp, pp=pp, cp=cp, dp=dp, sequence_parallel=tp > 1), tally):
            yield from _batches(ask, of, plan, tally)


def degrees(ask: TrainAsk, of: Shape, tally: Tally) -> Iterator[tuple[int, int, int]]:
    """(tp, pp, cp) that divide the devices."""
    for tp in divisors(ask.count):
        why = HEADS if any(h % tp for h in of.heads) else LINKS if tp > max(1, ask.device.domain) else ""
        for pp in divisors(ask.count // tp):
            for cp in _contexts(ask, ask.count // (tp * pp)):
                refused = why or (DEPTH if pp > of.layers else "")
                if refused:
                    tally.seen += 1
                    tally.refuse(refused)
                else:
                    yield tp, pp, cp


def _contexts(ask: TrainAsk, left: int) -> list[int]:
    return [cp for cp in divisors(left) if cp == 1 or (ask.seq % (2 * cp) == 0 and ask.seq // cp >= SHORTEST)]


def _variants(ask: TrainAsk, of: Shape, plan: Plan, tally: Tally) -> Iterator[Plan]:
    """Expert parallelism, and what data parallelism shards."""
    wide = plan.tp * plan.cp * plan.dp
    for ep in divisors(wide) if of.routed else [1]:
        if any(experts % ep for experts, _ in of.experts) or (ep == 1 and not _sliced(of, plan.tp)):
            tally.seen += 1
            tally.refuse(EXPERTS)
            continue
        for zero, hsdp in _sharded(ask, plan):
            yield plan.with_(ep=ep, etp=1 if ep > 1 else 0, zero=zero, hsdp=hsdp)


def _sliced(of: Shape, tp: int) -> bool:
    return all(inner % tp == 0 for _, inner in of.experts)


def _sharded(ask: TrainAsk, plan: Plan) -> Iterator[tuple[int, int]]:
    """Optimizer state; without stages also parameters, over all replicas or over those of one fast domain."""
    if plan.dp * plan.cp == 1:
        yield 0, 1
        return
    yield 1, 1
    if plan.pp == 1:
        yield 3, 1
        inside = max(1, ask.device.domain // (plan.tp * plan.cp))
        if plan.dp > inside > 1 and plan.dp % inside == 0:
            yield 3, plan.dp // inside


def _batches(ask: TrainAsk, of: Shape, plan: Plan, tally: Tally) -> Iterator[tuple[Plan, int]]:
    """Micro-batches, and chunks of a pipeline device."""
    each = ask.global_batch // plan.dp
    for chunks in CHUNKS if plan.pp > 1 else (1,):
        if plan.pp * chunks > of.layers or (chunks > 1 and not _even(of.layers, plan.pp * chunks)):
            continue
        for micro in (m for m in MICRO if each % m == 0):
            tally.seen += 1
            why = _uneven(of, plan, chunks, each // micro)
            if why:
                tally.refuse(why)
            else:
                yield plan.with_(vp=chunks, schedule="interleaved" if chunks > 1 else "1f1b"), micro


def _even(layers: int, chunks: int) -> bool:
    """Whether chunks are equal but for those of the ends, as interleaved schedules are laid out."""
    return len(set(chunk_layers(layers, chunks)[1:-1])) == 1


def _uneven(of: Shape, plan: Plan, chunks: int, passes: int) -> str:
    """Why stages or chunks cannot be dealt; only the ends, with embedding and head, may lack all layers."""
    if plan.pp == 1:
        return ""
    if chunks > 1 and passes % plan.pp:
        return INTERLEAVED
    return STAGES if 0 in chunk_layers(of.layers, plan.pp * chunks)[1:-1] else ""


# ------------------------------------------------------------ where nothing fits


def remedies(ask: TrainAsk, most: int = 65536) -> list[str]:
    """What would make a run fit: a lighter optimizer, more devices."""
    found = []
    for name in ("adam_8bit", "adafactor"):
        if ask.optimizer == "adam" and _fits(replace(ask, optimizer=name)):
            found.append(f"--optimizer {name}")
            break
    count = ask.count
    while count < most:
        count *= 2
        if _fits(replace(ask, count=count)):
            found.append(f"{count} devices")
            break
    return found


def _fits(ask: TrainAsk) -> bool:
    for plan, micro in training_plans(ask, Tally()):
        if micro > 1:
            continue
        base = forward(ask.book, ask.device, plan, _stored(ask.formats), training=True)
        try:
            if fits(ask, _again(base, plan.with_(recompute="full")), ask.batch(micro)):
                return True
        except UsageError:
            continue
    return False
