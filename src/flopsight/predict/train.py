"""One optimizer step: forward and backward of every micro-batch, the pipeline, what is exchanged, the optimizer.

    step = m · (slowest stage's forward + backward + recompute + exposed exchange) + bubble
         + exposed gradients and parameters + optimizer + host

m micro-batches of each replica. Compute, and the exchange of tensor, context and expert parallelism, come task by task
from the same kernels that predict inference; a framework's class says how much of the exchange it hides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Final, Literal

from flopsight.errors import UsageError
from flopsight.models.ledger import Ledger
from flopsight.parts.attention import AttentionCore
from flopsight.plan import Formats, Plan
from flopsight.predict.data_parallel import Traffic, exposed, group, traffic
from flopsight.predict.device import Device
from flopsight.predict.forward import Forward, forward
from flopsight.predict.framework import Clocks, Framework, framework, sustained, width_of
from flopsight.predict.kernels.collective import collective_seconds
from flopsight.predict.kernels.roofline import roofline
from flopsight.predict.kernels.vector import vector_seconds
from flopsight.predict.memory_train import Memory, memory_train, vocabulary, width
from flopsight.predict.optimizer import optimizer
from flopsight.predict.pipeline import Stage, bubble, deal
from flopsight.predict.shard import depth
from flopsight.predict.step import Split, causes
from flopsight.predict.tasks import HALF, Amounts, Collective, Core, Dense, Moved, Other, Routed, Task
from flopsight.workload import Work, Workload

GRADIENTS: Final = {"fp32": 4, "bf16": 2}
PLACES: Final = ("layers", "first", "last")
PRODUCTS: Final = ("matrix", "routed")
SQUARE_FORWARD: Final = (4.0, 9.0)
SQUARE_BACKWARD: Final = (8.0, 11.0)
"""Bytes a score that an attention without a fused kernel moves in its products and around them: scores written, softmax
and dropout read and written with a mask of one byte, read by the mix; and back."""
SQUARE_COMPUTE: Final = 0.6
LOSS: Final = 12
"""Bytes a logit that the loss and its gradient move: 16-bit logits read twice, fp32 sums aside, gradients written."""
LAUNCHES_BACK: Final = 2
ROUTING: Final = 20
"""Kernels that route, count, sort, exchange and put back the tokens of one layer of experts."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on.

    seq           tokens of a sequence
    global_batch  sequences a step, all replicas together
    micro_batch   sequences of one replica in one pass
    optimizer     by name; its states and traffic are in `optimizer`
    grads         format in which gradients are summed
    adapters      only small adapters are trained (LoRA): no gradients of the model's own weights
    skew          load of the busiest expert device over the mean; 0 takes random routing
    fused         attention is a fused kernel; "" of a framework decides where left None by `train_step`
    """

    seq: int
    global_batch: int
    micro_batch: int = 1
    optimizer: str = "adam"
    grads: Literal["fp32", "bf16"] = "fp32"
    adapters: bool = False
    fused: bool = True

    def __post_init__(self) -> None:
        for name in ("seq", "global_batch", "micro_batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**40:
                raise UsageError(f"{name} is a whole number of at least 1; got {value!r}.")
        if self.grads not in GRADIENTS:
            raise UsageError(f"Gradients are summed in {' or '.join(GRADIENTS)}; got {self.grads!r}.")
        optimizer(self.optimizer)

    @property
    def gradient_bytes(self) -> int:
        """Bytes a parameter of its gradient."""
        return GRADIENTS[self.grads]

    @property
    def tokens(self) -> int:
        """Tokens a step."""
        return self.seq * self.global_batch

    def passes(self, plan: Plan) -> int:
        """Micro-batches of one replica; UsageError where the batch does not divide."""
        each = plan.dp * self.micro_batch
        if self.global_batch % each:
            near = max(1, round(self.global_batch / each)) * each
            raise UsageError(
                f"dp {plan.dp} x micro-batch {self.micro_batch} does not divide the global batch {self.global_batch}; "
                f"the nearest that it divides is {near}."
            )
        return self.global_batch // each


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


# ------------------------------------------------------------ tasks in training


@dataclass(frozen=True, slots=True)
class Bundle:
    """All tasks of one place in the pipeline and one category, one micro-batch, the whole depth.

    forward, backward, again   seconds by cause; `again` is of norms and activations, which selective recompute repeats
    weights    share of `backward` that makes gradients of weights
    launches   kernels of a forward pass
    """

    place: str
    category: str
    forward: Split
    backward: Split
    again: Split
    weights: float
    launches: int


def category(task: Task) -> str:
    """What scales a task: matrix or routed products by width, attention, scan (recurrences), vector, tp or ep."""
    kernel = task.kernel
    if isinstance(kernel, Collective):
        return "ep" if kernel.how == "all_to_all" else "tp"
    if isinstance(kernel, Core):
        return "attention"
    if isinstance(kernel, Other):
        return "scan"
    if isinstance(kernel, Moved):
        return "vector"
    return f"{'routed' if isinstance(kernel, Routed) else 'matrix'}{width_of(kernel.compute)}"


def place(task: Task) -> str:
    """Numbered layers are shared by the pipeline's stages; lookups lie on the first, everything else on the last."""
    if task.layered:
        return "layers"
    return "first" if task.kind == "embedding" else "last"


@lru_cache(4096)
def bundles(run: Forward, batch: Batch) -> tuple[Bundle, ...]:
    """Every task of a micro-batch, forward and backward, gathered by place and category."""
    load = Workload("train", batch.micro_batch, batch.seq, logits="all")
    whole, local = run.book.works(load), run.works(load)
    found: dict[tuple[str, str], Bundle] = {}
    for task in run.shard.tasks:
        work = (local if task.by_tokens else whole)[task.stream]
        if not work.tokens:
            continue
        for one in _task(run, task, work, batch):
            key = (one.place, one.category)
            found[key] = _joined(found[key], one) if key in found else one
    return (*found.values(), *_loss(run, batch))


def _joined(a: Bundle, b: Bundle) -> Bundle:
    back = a.backward + b.backward
    weights = (a.weights * a.backward.total + b.weights * b.backward.total) / back.total if back.total else 0.0
    return replace(
        a, forward=a.forward + b.forward, backward=back, again=a.again + b.again, weights=weights,
        launches=a.launches + b.launches,
    )  # fmt: skip


def _task(run: Forward, task: Task, work: Work, batch: Batch) -> Iterable[Bundle]:
    """One task, with the casts that low-precision products need around it."""
    device, kernel = run.device, task.kernel
    if isinstance(kernel, Core) and not batch.fused and isinstance(kernel.part, AttentionCore):
        yield _square(run, task, kernel, work)
        return
    ahead, back, weights = _seconds(run, task, work, batch)
    amounts = kernel.amounts(work)
    first = causes(task, device, amounts, ahead) * task.times
    then = causes(task, device, _scaled(amounts, back / ahead if ahead else 1.0), back) * task.times
    again = first if isinstance(kernel, Moved) else Split()
    launches = 0 if isinstance(kernel, Collective) else task.times
    yield Bundle(place(task), category(task), first, then, again, weights, launches)
    if isinstance(kernel, Routed):
        yield _permuted(device, task, kernel, work)
    if isinstance(kernel, Dense | Routed) and width_of(kernel.compute) != "16":
        yield _casts(device, task, kernel, work)


def _seconds(run: Forward, task: Task, work: Work, batch: Batch) -> tuple[float, float, float]:
    """Forward, backward and the share of the backward that makes gradients of weights."""
    device, kernel = run.device, task.kernel
    if isinstance(kernel, Collective) and kernel.how == "all_to_all" and kernel.across:
        found = float(_exchange(device, kernel, work, _visits(run)))
        return found, found, 0.0
    ahead, back = float(kernel.seconds(device, work)), float(kernel.backward(device, work))
    if not isinstance(kernel, Dense | Routed | Other):
        return ahead, back, 0.0
    return (ahead, back / 2, 0.0) if batch.adapters else (ahead, back, 0.5)


def _visits(run: Forward) -> int:
    """Experts of other devices that a token visits."""
    routed = [t.kernel for t in run.shard.tasks if isinstance(t.kernel, Routed)]
    return max((min(k.visited, run.plan.ep) for k in routed), default=1)


def _exchange(device: Device, kernel: Collective, work: Work, visits: int) -> float:
    """An all-to-all between domains: what goes to several experts of one domain crosses the network once.

    A token's k visits reach n·(1 - (1 - 1/n)^k) of n domains; inside, they fan out over the fast links.
    """
    size = work.tokens * kernel.width
    domains = -(-kernel.ranks // device.domain)
    reached = domains * (1 - (1 - 1 / domains) ** visits)
    out = collective_seconds(device, "all_to_all", size * reached / visits, domains, across=True)
    inside = collective_seconds(device, "all_to_all", size, min(kernel.ranks, device.domain))
    return max(float(out), float(inside))


def _scaled(a: Amounts, by: float) -> Amounts:
    return Amounts(*(getattr(a, f.name) * by for f in fields(Amounts)))


def _casts(device: Device, task: Task, kernel: Dense | Routed, work: Work) -> Bundle:
    """Activations and gradients brought to the low format, in both layouts that the products need.

    Read in 16 bits, written twice in 8 (or 4): 4 (or 3) bytes an element; inputs in the forward pass, gradients of the
    outputs in the backward pass.
    """
    each = 4.0 if width_of(kernel.compute) == "8" else 3.0
    if isinstance(kernel, Dense):
        inputs, outputs = work.tokens * kernel.k, work.tokens * kernel.n
    else:
        rows = kernel.rows(work)
        inputs = rows * (kernel.width + kernel.inner)
        outputs = rows * (kernel.width + (1 + kernel.gated) * kernel.inner)
    ahead, back = (float(vector_seconds(device, n * each)) * task.times for n in (inputs, outputs))
    return Bundle(place(task), "vector", Split(other=ahead), Split(other=back), Split(), 0.0, task.times)


def _permuted(device: Device, task: Task, kernel: Routed, work: Work) -> Bundle:
    """Token copies sorted by expert and put back: read and written once each way, forward and backward."""
    moved = float(kernel.rows(work)) * kernel.width * HALF * 4
    seconds = Split(other=float(vector_seconds(device, moved)) * task.times)
    return Bundle(place(task), "vector", seconds, seconds, Split(), 0.0, ROUTING * task.times)


def _square(run: Forward, task: Task, kernel: Core, work: Work) -> Bundle:
    """Attention without a fused kernel: the whole square of scores, stored and read again."""
    device, part = run.device, kernel.part
    square = sum(float(op.full) for op in part.ops(work) if op.engine == "matrix") * kernel.share
    each = part.key_width + part.value_width if isinstance(part, AttentionCore) else 1
    scores = square / (2 * each)
    ahead = _square_seconds(device, kernel.compute, square, scores, SQUARE_FORWARD) * task.times
    back = _square_seconds(device, kernel.compute, 2 * square, scores, SQUARE_BACKWARD) * task.times
    return Bundle(place(task), "attention", ahead, back, Split(), 0.0, 5 * task.times)


def _square_seconds(device: Device, compute: str, flops: float, scores: float, moved: tuple[float, float]) -> Split:
    products = float(roofline(flops / (SQUARE_COMPUTE * device.rate(compute)), moved[0] * scores / device.bandwidth))
    return Split(compute=products, other=float(vector_seconds(device, moved[1] * scores)))


def _loss(run: Forward, batch: Batch) -> tuple[Bundle, ...]:
    """Cross-entropy over the vocabulary and its gradient."""
    tokens = batch.micro_batch * batch.seq / run.plan.cp
    rows = vocabulary(run.book, tokens, run.plan)
    if not rows:
        return ()
    seconds = Split(other=float(vector_seconds(run.device, rows * LOSS)) / 2)
    return (Bundle("last", "vector", seconds, seconds, Split(), 0.0, 4),)


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
