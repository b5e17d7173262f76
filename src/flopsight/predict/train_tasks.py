"""The tasks of a training pass: what a micro-batch launches forward and backward, gathered by place and category.

Everything here is of the kernels alone, at their burst rates; schedules, software and exchange come in `train`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Final

from flopsight.parts.attention import AttentionCore
from flopsight.predict.batch import Batch
from flopsight.predict.device import Device
from flopsight.predict.forward import Forward
from flopsight.predict.framework import width_of
from flopsight.predict.kernels.collective import collective_seconds
from flopsight.predict.kernels.roofline import roofline
from flopsight.predict.kernels.vector import vector_seconds
from flopsight.predict.memory_train import vocabulary
from flopsight.predict.step import Split, causes
from flopsight.predict.tasks import HALF, Amounts, Collective, Core, Dense, Moved, Other, Routed, Task
from flopsight.workload import Work, Workload

SQUARE_FORWARD: Final = (4.0, 9.0)
SQUARE_BACKWARD: Final = (8.0, 11.0)
"""Bytes a score that an attention without a fused kernel moves in its products and around them: scores written, softmax
and dropout read and written with a mask of one byte, read by the mix; and back."""
SQUARE_COMPUTE: Final = 0.6
LOSS: Final = 12
"""Bytes a logit that the loss and its gradient move: 16-bit logits read twice, fp32 sums aside, gradients written."""
ROUTING: Final = 20
"""Kernels that route, count, sort, exchange and put back the tokens of one layer of experts."""


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
