"""Prefill, decode and a whole generation of one static batch: kernels of a pass, and what an engine adds to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

from flopsight.errors import UsageError
from flopsight.models.ledger import Ledger
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device
from flopsight.predict.engines.engine import Engine
from flopsight.predict.engines.generation import generation_engines
from flopsight.predict.engines.habits import kept, more, seen, whole_cache
from flopsight.predict.forward import Forward, forward
from flopsight.predict.kernels.roofline import coefficients
from flopsight.predict.shard import depth
from flopsight.predict.step import Line, Split
from flopsight.predict.tasks import Amounts, Collective, Routed
from flopsight.workload import Workload

MOST_STEPS: Final = 8
"""Steps of a chunked prefill that are looked at one by one; more are gathered into as many groups of equal length."""
BORROWED: Final = 0.15
"""Added to sigma in quadrature where no kernel of the device was measured. An allowance: half of one kernel's
spread between chips of a class, since the errors of a step's kernels cancel in part."""
MOST_POINTS: Final = 256
"""Lengths of the growing context at which a long generation is asked for its time."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one prefill or one decode step of a batch takes.

    seconds  of the whole pass, as a user waits for it
    split    the same seconds by cause: kernels, then launch and host of the engine
    lines    every task with its own seconds (those of its kernels, before the engine's terms) and amounts
    sigma    standard deviation of log(measured / predicted)
    tokens   computed in the pass, over the whole batch
    steps    times the model ran: chunks of a long prompt
    notes    what was assumed
    """

    seconds: float
    split: Split
    lines: tuple[Line, ...]
    sigma: float
    tokens: int
    steps: int = 1
    notes: tuple[str, ...] = ()

    @property
    def tokens_per_second(self) -> float:
        """tokens / seconds."""
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class Generation:
    """One static batch from prompt to last token.

    ttft     seconds to the first token: prefill and what a request costs before it
    tpot     seconds of a decode step, the mean over the growing context; 0 where osl is 1
    total    ttft + (osl - 1)·tpot
    sigma    standard deviation of log(measured / predicted) of the total
    prefill, decode  the passes behind them; `decode` is the one in the middle of the generation
    """

    ttft: float
    tpot: float
    total: float
    sigma: float
    prefill: Pass
    decode: Pass | None
    batch: int
    isl: int
    osl: int
    notes: tuple[str, ...] = ()

    @property
    def tokens_per_second(self) -> float:
        """Output tokens of the whole batch over the whole time."""
        return self.batch * self.osl / self.total


def prefill_pass(
    book: Ledger, device: Device, plan: Plan, formats: Formats, batch: int, isl: int, engine: Engine, past: int = 0,
    images: int = 0,
) -> Pass:  # fmt: skip
    """`batch` prompts of `isl` tokens behind `past` cached ones, in steps of at most the engine's chunk.

    Steps of a pipeline follow each other through its stages: m steps of p stages take (p + m - 1) / (p·m) of their sum.
    """
    _check(batch, isl, "isl")
    steps = [(n, Workload("prefill", b, s, p, images=images)) for n, b, s, p in _steps(batch, isl, past, engine.chunk)]
    return _passed(Scene(book, device, plan, formats, engine, prompts=True), steps, batch * isl)


def decode_pass(
    book: Ledger, device: Device, plan: Plan, formats: Formats, batch: int, past: int, engine: Engine
) -> Pass:
    """One step that adds a token to each of `batch` sequences of `past` tokens."""
    _check(batch, past + 1, "past")
    return _passed(Scene(book, device, plan, formats, engine), [(1, Workload("decode", batch, 1, past))], batch)


def generate(
    book: Ledger, device: Device, plan: Plan, formats: Formats, batch: int, isl: int, osl: int, engine: Engine,
    images: int = 0,
) -> Generation:  # fmt: skip
    """Prefill, then osl - 1 decode steps over a context that grows from isl + 1 to isl + osl - 1 tokens."""
    _check(batch, osl, "osl")
    first = prefill_pass(book, device, plan, formats, batch, isl, engine, images=images)
    ttft = first.seconds + engine.request
    if osl == 1:
        return Generation(ttft, 0.0, ttft, first.sigma, first, None, batch, isl, osl, first.notes)
    if whole_cache(engine):
        middle = decode_pass(book, device, plan, formats, batch, isl + osl, engine)
        tpot = middle.seconds
    else:
        middle = decode_pass(book, device, plan, formats, batch, isl + osl // 2, engine)
        tpot = _mean_step(Scene(book, device, plan, formats, engine), batch, isl, osl, middle)
    total = ttft + (osl - 1) * tpot
    sigma = (first.sigma * ttft + middle.sigma * (total - ttft)) / total
    return Generation(ttft, tpot, total, sigma, first, middle, batch, isl, osl, (*first.notes, *middle.notes))


def _check(batch: int, tokens: int, name: str) -> None:
    for label, value in (("batch", batch), (name, tokens)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{label} is a whole number of at least 1; got {value!r}.")


# ------------------------------------------------------------ steps


def _steps(batch: int, isl: int, past: int, chunk: int) -> Iterator[tuple[int, int, int, int]]:
    """(times, sequences, tokens of each, tokens before) of the steps that compute a batch of prompts."""
    if batch * isl <= chunk:
        yield 1, batch, isl, past
        return
    if isl <= chunk:
        each = chunk // isl
        yield batch // each, each, isl, past
        if batch % each:
            yield 1, batch % each, isl, past
        return
    whole, rest = divmod(isl, chunk)
    for first, last in _groups(whole):
        yield batch * (last - first), 1, chunk, past + chunk * (first + last - 1) // 2
    if rest:
        yield batch, 1, rest, past + whole * chunk


def _groups(count: int) -> Iterator[tuple[int, int]]:
    """0..count cut into at most MOST_STEPS runs."""
    parts = min(count, MOST_STEPS)
    for i in range(parts):
        yield count * i // parts, count * (i + 1) // parts


class Scene:
    """A model on a device as an engine runs its steps of one kind: prompts or decode."""

    def __init__(
        self, book: Ledger, device: Device, plan: Plan, formats: Formats, engine: Engine, *, prompts: bool = False
    ) -> None:
        self.engine, self.prompts, self.formats = engine, prompts, formats
        self.device = seen(engine, device, prompts=prompts)
        self.run: Forward = forward(book, self.device, plan, kept(engine, device, formats, prompts=prompts))
        self.layers, self.joined, self.routed = depth(book), joined_layers(self.run), routed_layers(self.run)

    @property
    def slower(self) -> float:
        """The time of the engine's kernels over that of the best known ones."""
        return (self.engine.prefills if self.prompts else self.engine.kernels) * self.engine.speed(self.device.family)

    @property
    def sigma(self) -> float:
        """The engine's spread, wider on a device whose kernels are borrowed from its class.

        Engines for static batches were fitted on borrowed kernels and have that in their spread.
        """
        own, e = self.engine.name in generation_engines(), self.engine
        spread = e.spreads.get("ttft" if self.prompts else "tpot", e.spread) if own else e.spread
        measured = own or self.device.id in coefficients("gemm")["chips"]
        return math.hypot(spread, 0.0 if measured else BORROWED)

    def causes(self, kernels: Split, sequences: float) -> Split:
        """The seconds of one step by cause: kernels at the engine's speed, its habits, then what it adds."""
        own = kernels * self.slower
        run = self.run
        own = own + more(self.engine, run.book, self.device, run.plan, self.formats, own, prompts=self.prompts)
        return own + self.added(own.total, sequences)

    def added(self, kernels: float, sequences: float) -> Split:
        """What the engine adds to kernels that take so long: gaps and late launches, exchanges, and the host.

        Launching one by one hides behind kernels; only what sticks out of them is `launch`. Decode steps that are
        captured graphs have none of it.
        """
        e = self.engine
        exchange = self.layers * e.per_collective if self.joined else 0.0
        gaps = self.layers * e.per_layer + self.routed * e.per_routing
        late = max(0.0, self.layers * e.eager - kernels - gaps) if self.prompts or not e.graphs else 0.0
        return Split(collective=exchange, launch=gaps + late, host=e.host + e.per_sequence * sequences)


def joined_layers(run: Forward) -> bool:
    """Whether layers exchange data between devices."""
    return any(isinstance(task.kernel, Collective) for task in run.shard.tasks)


def routed_layers(run: Forward) -> int:
    """Layers whose experts are routed."""
    return sum(task.times for task in run.shard.tasks if isinstance(task.kernel, Routed))


def _passed(scene: Scene, steps: list[tuple[int, Workload]], tokens: int) -> Pass:
    """Steps one after another, each with the engine's terms."""
    run, count = scene.run, sum(times for times, _ in steps)
    flown = _in_flight(run.plan.pp, count)
    split, lines = Split(), _Sum()
    for times, workload in steps:
        found = run.lines(workload)
        lines.add(found, times * flown)
        step = scene.causes(sum((one.split for one in found), Split()), float(workload.batch))
        split = split + step * (times * flown)
    notes = (*run.device.notes, *run.kept.notes, *run.shard.notes)
    return Pass(split.total, split, tuple(lines), scene.sigma, tokens, count, notes)


def _in_flight(stages: int, steps: int) -> float:
    """The share of the sum of all steps that passes when steps follow each other through a pipeline."""
    return (stages + steps - 1) / (stages * steps)


class _Sum:
    """Lines of several steps, task by task."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}

    def add(self, lines: list[Line], times: float) -> None:
        for one in lines:
            old = self._lines.get(one.task.path)
            more = Line(one.task, one.seconds * times, one.split * times, _scaled(one.amounts, times))
            self._lines[one.task.path] = more if old is None else _joined(old, more)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())


def _joined(a: Line, b: Line) -> Line:
    amounts = Amounts(*(getattr(a.amounts, f.name) + getattr(b.amounts, f.name) for f in fields(Amounts)))
    return Line(a.task, a.seconds + b.seconds, a.split + b.split, amounts)


def _scaled(a: Amounts, times: float) -> Amounts:
    return a if times == 1 else Amounts(*(getattr(a, f.name) * times for f in fields(Amounts)))


def _mean_step(scene: Scene, batch: int, isl: int, osl: int, middle: Pass) -> float:
    """The mean of all decode steps: the middle one, times how the kernels' mean compares with the middle's."""
    import numpy as np

    count = min(osl - 1, MOST_POINTS)
    pasts = isl + (np.arange(count) + 0.5) * (osl - 1) / count
    kernels = np.atleast_1d(np.asarray(scene.run.seconds(batch, 1, pasts, decode=True), dtype=float))
    centre = float(scene.run.seconds(batch, 1, isl + osl // 2, decode=True))
    return middle.seconds + float(np.mean(kernels) - centre) * scene.slower
