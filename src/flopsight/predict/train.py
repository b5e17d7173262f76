"""One optimizer step: forward and backward of every micro-batch, the pipeline, what is exchanged, the optimizer.

    step = m · (slowest stage's forward + backward + recompute + exposed exchange) + bubble
         + exposed gradients and parameters + optimizer + host

m micro-batches of each replica. Compute, and the exchange of tensor, context and expert parallelism, come task by task
from the same kernels that predict inference; a framework's class says how much of the exchange it hides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from flopsight.models.ledger import Ledger
from flopsight.parts.attention import AttentionCore
from flopsight.plan import Formats, Plan
from flopsight.predict.batch import Batch as Batch
from flopsight.predict.data_parallel import Traffic, exposed, group, traffic
from flopsight.predict.device import Device
from flopsight.predict.forward import Forward, forward
from flopsight.predict.framework import Clocks, Framework, framework, sustained
from flopsight.predict.kernels.collective import collective_seconds
from flopsight.predict.kernels.vector import vector_seconds
from flopsight.predict.memory_train import Memory, memory_train, width
from flopsight.predict.optimizer import optimizer
from flopsight.predict.pipeline import Stage, bubble, deal
from flopsight.predict.shard import depth
from flopsight.predict.step import Split
from flopsight.predict.tasks import HALF, Core
from flopsight.predict.train_tasks import Bundle, bundles

LAUNCHES_BACK: Final = 2
"""Kernels of a backward pass for each of the forward."""
PRODUCTS: Final = ("matrix", "routed")


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a step: seconds that count, and seconds hidden behind others."""

    name: str
    seconds: float
    hidden: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainStep:
    """The prediction of one optimizer step on the busiest device.

    seconds   of the step; `split` adds up to it exactly, and so do the `parts`
    hidden    seconds of exchange that run behind compute
    micro_batches   of one replica
    bubble    seconds waiting for other stages over seconds of work
    sigma     standard deviation of log(measured / predicted)
    """

    seconds: float
    split: Split
    hidden: float
    parts: tuple[Part, ...]
    memory: Memory
    micro_batches: int
    bubble: float
    tokens: int
    sigma: float
    notes: tuple[str, ...] = ()

    @property
    def tokens_per_second(self) -> float:
        """Of all devices together."""
        return self.tokens / self.seconds


# ------------------------------------------------------------ one stage


@dataclass(frozen=True, slots=True)
class _Pass:
    """A stage's passes over one micro-batch: seconds that count by cause, the three times of its schedule, hidden."""

    split: Split
    stage: Stage
    hidden: float
    parts: dict[str, float]
    masked: dict[str, float]


def _stage(run: Forward, batch: Batch, soft: Framework, clocks: Clocks, layers: int, ends: tuple[str, ...]) -> _Pass:
    """Forward, recompute and backward of the stage that holds so many layers and these ends of the model."""
    plan, share = run.plan, layers / depth(run.book)
    split, hidden = Split(), 0.0
    ahead = inputs = weights = launches = 0.0
    parts: dict[str, float] = {}
    masked: dict[str, float] = {}
    for one in bundles(run, batch):
        times = share if one.place == "layers" else float(one.place in ends)
        if not times:
            continue
        counted = times * factor(clocks, soft, one.category)
        again = _again(one, plan, soft, fused=batch.fused)
        seconds = (one.forward + again + one.backward) * counted
        kept = _hidden(soft, one.category)
        if kept:
            masked[one.category] = seconds.total * kept
            hidden += seconds.total * kept
            seconds, counted = seconds * (1 - kept), counted * (1 - kept)
        split = split + seconds
        parts[one.category] = parts.get(one.category, 0.0) + seconds.total
        ahead += one.forward.total * counted
        weights += one.backward.total * counted * one.weights
        inputs += (again.total + one.backward.total * (1 - one.weights)) * counted
        runs = 1 + LAUNCHES_BACK + (again.total / one.forward.total if one.forward.total else 0.0)
        launches += one.launches * times * runs
    total = ahead + inputs + weights
    waits = _floor(total, launches * soft.launch) - total
    split, parts["host"] = split + Split(host=waits), waits
    stretch = (total + waits) / total if total else 1.0
    return _Pass(split, Stage(ahead * stretch, inputs * stretch, weights * stretch), hidden, parts, masked)


def _floor(device: float, host: float) -> float:
    """A pass takes at least what the host needs to launch it; near the crossing both show."""
    return float((device**4 + host**4) ** 0.25)


def _again(one: Bundle, plan: Plan, soft: Framework, *, fused: bool) -> Split:
    """What recompute repeats in the layers: everything, or what `memory_train` does not keep under "selective".

    Selective is the square of scores where attention is not fused (Korthikanti et al. 2022), else norms and
    activations, and the share of products that the framework gives up as well.
    """
    if plan.recompute == "none" or one.place != "layers":
        return Split()
    if plan.recompute == "full":
        return one.forward
    if not fused:
        return one.forward if one.category == "attention" else Split()
    if one.category.startswith(PRODUCTS):
        return one.forward * soft.reruns
    return one.again if one.category == "vector" else Split()


def factor(clocks: Clocks, soft: Framework, kind: str) -> float:
    """What multiplies the burst time of a category: sustained clocks and the class of software."""
    if kind.startswith(PRODUCTS):
        return clocks.get(kind[6:], 1.0) * soft.kernels * (clocks.get("routed", 1.0) if kind[0] == "r" else 1.0)
    if kind == "attention":
        return clocks.get("attention", clocks.get("16", 1.0)) * soft.kernels * soft.attention
    if kind == "scan":
        return clocks.get("scan", 1.0)
    return soft.vector if kind == "vector" else 1.0


def _hidden(soft: Framework, kind: str) -> float:
    return {"tp": soft.tp_hidden, "ep": soft.ep_hidden}.get(kind, 0.0)


# ------------------------------------------------------------ between devices


@lru_cache(4096)
def _ring(run: Forward, batch: Batch) -> float:
    """Seconds of keys and values going round the context-parallel ring, forward and backward, one micro-batch.

    Forward (cp-1) sends of the local block; backward the same block and its gradients (Liu et al. 2023, arXiv
    2310.01889).
    """
    plan = run.plan
    if plan.cp == 1:
        return 0.0
    total = 0.0
    for task in run.shard.tasks:
        if isinstance(task.kernel, Core):
            kept = (
                task.kernel.part.cache().per_token
                * HALF
                / (plan.tp if isinstance(task.kernel.part, AttentionCore) else 1)
            )
            size = kept * batch.micro_batch * batch.seq / plan.cp
            over = group(run.device, plan.cp, plan.tp)
            one = float(collective_seconds(run.device, "send", size, 2, across=over.domains > 1))
            total += task.times * (plan.cp - 1) * 3 * one
    return total


@lru_cache(4096)
def _send(run: Forward, batch: Batch) -> float:
    """Seconds of one micro-batch's activations to the next stage, and their gradients back, over all chunks.

    Tensor-parallel devices send a slice each (Narayanan et al. 2021, arXiv 2104.04473, section 4.1).
    """
    plan = run.plan
    if plan.pp == 1:
        return 0.0
    size = batch.micro_batch * batch.seq / plan.cp * width(run.book) * HALF / plan.tp
    across = plan.tp * plan.cp * plan.dp * plan.pp > run.device.domain
    return 2 * plan.vp * float(collective_seconds(run.device, "send", size, 2, across=across))


@lru_cache(4096)
def _replicas(run: Forward, batch: Batch, share: float) -> Traffic:
    """What data-parallel replicas exchange: dense parameters and experts apart; `share` of the layers on the stage."""
    plan, found = run.plan, Traffic()
    if batch.adapters:
        return found
    elements = run.shard.elements
    routed = elements.get("experts", 0.0) * share
    dense = sum(n for kind, n in elements.items() if kind not in ("experts", "embedding", "lm_head")) * share
    dense += sum(elements.get(kind, 0.0) for kind in ("embedding", "lm_head")) / min(plan.pp, 2)
    for count, replicas, inner in (
        (dense, plan.dp * plan.cp, plan.tp),
        (routed, max(1, plan.dp * plan.cp * plan.tp // plan.expert_shards), plan.expert_shards),
    ):
        if count:
            found = found + traffic(
                run.device, plan, count * HALF, count * batch.gradient_bytes, replicas=replicas, inner=inner
            )
    return found


@lru_cache(4096)
def _updates(run: Forward, batch: Batch) -> float:
    """Seconds of the optimizer: its states, the gradient read for the norm and for the update."""
    plan, kind = run.plan, optimizer(batch.optimizer)
    if batch.adapters:
        return 0.0
    routed = run.shard.elements.get("experts", 0.0)
    dense = run.shard.params - routed
    ways = plan.dp * plan.cp / plan.hsdp if plan.zero else 1.0
    routed_ways = max(1.0, ways * plan.tp / plan.expert_shards) if plan.zero else 1.0
    count = dense / ways + routed / routed_ways
    return float(vector_seconds(run.device, count * (kind.moved + 2 * batch.gradient_bytes)))


# ------------------------------------------------------------ the step


def train_step(
    book: Ledger, device: Device, plan: Plan, formats: Formats, batch: Batch, soft: Framework | str = "generic"
) -> TrainStep:
    """Seconds of one optimizer step and what they are made of; UsageError where batch or layout do not divide.

    `plan` says how devices share the work, `batch` what a step trains on, `soft` which class of software runs it.
    """
    soft = framework(soft) if isinstance(soft, str) else soft
    if batch.fused and not soft.flash:
        batch = replace(batch, fused=False)
    run = forward(book, device, plan, _training(formats), training=True)
    return step(run, batch, soft)


def _training(formats: Formats) -> Formats:
    """Weights stay in 16 bits for the products to be cast from, whatever they multiply in."""
    return formats if formats.weights else replace(formats, weights="bf16")


def step(run: Forward, batch: Batch, soft: Framework, clocks: Clocks | None = None) -> TrainStep:
    """The same for a model already laid over devices; `clocks` replaces the calibrated `framework.sustained`."""
    clocks = sustained(run.device) if clocks is None else clocks
    plan, m = run.plan, batch.passes(run.plan)
    layers = deal(depth(run.book), plan.pp, plan.vp)
    stages = [_stage(run, batch, soft, clocks, n, _ends(i, plan.pp)) for i, n in _distinct(layers)]
    at = dict(zip((_key(i, n, plan.pp) for i, n in _distinct(layers)), stages, strict=True))
    each = [at[_key(i, n, plan.pp)] for i, n in enumerate(layers)]
    slow = max(range(len(each)), key=lambda i: each[i].stage.total)
    busy = each[slow]
    waiting = bubble(plan.schedule, [one.stage for one in each], plan.vp)
    share = layers[slow] * plan.pp / depth(run.book)
    parts = [Part(name, seconds * m, busy.masked.get(name, 0.0) * m) for name, seconds in busy.parts.items()]
    parts += _exchanges(run, batch, soft, busy, m, layers[slow], share)
    parts += [Part("bubble", waiting), Part("optimizer", _updates(run, batch)), Part("step host", soft.step)]
    sent = sum(one.seconds for one in parts if one.name in ("cp", "p2p", "dp"))
    split = busy.split * m + Split(
        collective=sent, bubble=waiting, other=_updates(run, batch), host=soft.step
    )  # fmt: skip
    notes = (*run.kept.notes, *run.device.notes)
    return TrainStep(
        split.total, split, sum(one.hidden for one in parts), tuple(parts), memory_train(run, batch), m,
        waiting / (m * busy.stage.total) if busy.stage.total else 0.0, batch.tokens, soft.spread, notes,
    )  # fmt: skip


def _ends(index: int, pp: int) -> tuple[str, ...]:
    return tuple(name for name, at in (("first", 0), ("last", pp - 1)) if at == index)


def _key(index: int, layers: int, pp: int) -> tuple[object, ...]:
    return layers, _ends(index, pp)


def _distinct(layers: tuple[int, ...]) -> list[tuple[int, int]]:
    """One stage of each kind: index and number of layers."""
    found: dict[tuple[object, ...], tuple[int, int]] = {}
    for index, count in enumerate(layers):
        found.setdefault(_key(index, count, len(layers)), (index, count))
    return list(found.values())


def _exchanges(
    run: Forward, batch: Batch, soft: Framework, busy: _Pass, m: int, layers: int, share: float
) -> list[Part]:
    """Context-parallel ring, sends between stages and data-parallel traffic: what shows and what hides."""
    found = []
    ring = _ring(run, batch) * layers / depth(run.book)
    shown = max(0.0, ring - soft.overlap * busy.parts.get("attention", 0.0))
    found.append(Part("cp", shown * m, (ring - shown) * m))
    send = _send(run, batch)
    found.append(Part("p2p", send * (1 - soft.p2p_hidden) * m, send * soft.p2p_hidden * m))
    t, stage, buckets = _replicas(run, batch, share) * soft.exchange, busy.stage, max(1, layers)
    back = stage.inputs + stage.weights
    every = exposed(t.forward, stage.forward, soft.overlap, buckets) + exposed(t.backward, back, soft.overlap, buckets)
    once = exposed(t.reduce, back, soft.overlap, buckets) + exposed(t.gather, stage.forward, soft.overlap, buckets)
    total = m * (t.forward + t.backward) + t.reduce + t.gather
    shown = m * every + once
    found.append(Part("dp", shown, total - shown))
    return found
