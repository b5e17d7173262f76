"""The whole bench: look at the machine, fit the model to it, forecast each case, run it, put both side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from flopsight.bench.config import config_of, layers_of, shallow
from flopsight.bench.forecast import forecasts
from flopsight.bench.join import Part, join, scaled
from flopsight.bench.machine import Machine, chosen_format, measure_ceilings, measure_machine
from flopsight.bench.measure import Measured, measure
from flopsight.bench.room import SHARE, STEPS, Need, fits, need
from flopsight.bench.steps import step_of
from flopsight.bench.subject import TORCH_NAMES, Subject, Using, subject
from flopsight.ceiling import neighbours
from flopsight.ceiling.memory import available
from flopsight.errors import Impossible, UsageError
from flopsight.facts import Unknown
from flopsight.models.ledger import Ledger, ledger
from flopsight.models.load import build
from flopsight.parts.linear import Embedding
from flopsight.stopwatch import TorchDevice
from flopsight.workload import PHASES, Phase, Workload

Progress = Callable[[int, int], None]
DEFAULT_TOKENS: Final = 512
BEATS: Final = 12
"""Movements of the bar that a case is worth."""
_SHARED: Final = ("text", "scored")


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be benched.

    seq      tokens of a prompt or of a training sequence, and tokens cached in decode unless `past` says otherwise
    seconds  for all cases together, the machine's own measurements left out
    layers   of the model to run; None takes all that fit
    dtype    of weights and activations; "" takes what this device is good at
    """

    model: str | Mapping[str, Any]
    phases: tuple[Phase, ...]
    batches: tuple[int, ...]
    seq: int | None = None
    past: int | None = None
    device: str = "cpu"
    dtype: str = ""
    seconds: float = 60.0
    layers: int | None = None
    using: Using | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One phase at one batch: what was predicted, what was measured, part by part.

    parts, between   nanoseconds of these add up to `measured.total`
    whole    seconds of a step of the whole model where only some of its layers ran; None where all did
    """

    workload: Workload
    tokens: int
    need: Need
    measured: Measured
    parts: list[Part]
    between: int
    whole: float | None = None

    @property
    def predicted(self) -> float:
        """Seconds of a step, all parts."""
        return sum(sum(part.predicted.values()) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that `bench` found; `layers` of `all_layers` were run."""

    book: Ledger
    machine: Machine
    device: TorchDevice
    using: str
    layers: int
    all_layers: int
    why_layers: str
    cases: tuple[Case, ...]
    shares: neighbours.Shares | Unknown
    format_chosen: bool


def bench(ask: Ask, progress: Progress = lambda done, total: None) -> Bench:
    """Run every case; UsageError, MissingCapability or Impossible say what cannot be run and what can."""
    raw, device = config_of(ask.model), TorchDevice(ask.device)
    name = ask.model if isinstance(ask.model, str) else "the config given"
    whole = ledger(build(raw, name, name))
    check(ask, whole)
    done, total = [0], BEATS * (1 + len(ask.phases) * len(ask.batches))

    def beat(times: int = 1) -> None:
        done[0] = min(done[0] + times, total)
        progress(done[0], total)

    machine = _machine(device, ask.dtype)
    beat(BEATS)
    deep = layers_of(raw, _layers(whole))
    run = _Run(ask, raw, name, device, machine, whole, deep)
    kept, why = run.layers()
    before = neighbours.ticks()
    book, made = run.made(kept)
    cases = tuple(run.case(book, made, workload, beat) for workload in workloads(ask, whole))
    return Bench(
        book, machine, device, made.using, kept, deep, why, cases,
        neighbours.shares(before, neighbours.ticks()), not ask.dtype,
    )  # fmt: skip


def _machine(device: TorchDevice, dtype: str) -> Machine:
    ceilings = measure_ceilings(device, dtype)
    return measure_machine(device, ceilings, dtype or chosen_format(ceilings))


def check(ask: Ask, book: Ledger) -> None:
    """UsageError for what this bench does not run, before anything is measured."""
    name = book.model.name
    if ask.dtype and ask.dtype not in TORCH_NAMES:
        raise UsageError(f"The number format is one of {', '.join(TORCH_NAMES)}; got {ask.dtype!r}.")
    if not ask.phases or not set(ask.phases) <= set(PHASES):
        raise UsageError(f"The phases are of {', '.join(PHASES)}; got {', '.join(ask.phases) or 'none'}.")
    if not ask.batches or min(ask.batches) < 1:
        raise UsageError("A batch is a whole number of at least 1.")
    if not 1 <= ask.seconds <= 86_400:
        raise UsageError(f"The time for a bench is from 1 s to a day; got {ask.seconds:g}.")
    list(workloads(ask, book))  # says which number means nothing
    streams = {one.stream for one in book.leaves}
    if not streams <= set(_SHARED) or book.by_sample or "scored" not in streams:
        others = ", ".join(sorted(streams - set(_SHARED))) or "no output head"
        raise UsageError(
            f"{name} is no decoder-only language model ({others}), and bench runs only these today. "
            f"`flopsight count {name}` and `flopsight predict {name} --on CHIP` take it."
        )
    if "decode" in ask.phases and not (book.cache_per_token or book.cache_fixed):
        raise UsageError(f"{name} keeps no cache, so it has no decode phase; leave it out of --phase.")


def workloads(ask: Ask, book: Ledger) -> Iterator[Workload]:
    """Every phase at every batch."""
    seq = min(DEFAULT_TOKENS, book.model.context or DEFAULT_TOKENS) if ask.seq is None else ask.seq
    past = ask.past if ask.past is not None else seq
    for phase in ask.phases:
        for batch in ask.batches:
            if phase == "decode":
                yield Workload("decode", batch, 1, past)
            else:
                yield Workload(phase, batch, seq, 0, "all" if phase == "train" else "last")


def _layers(book: Ledger) -> int:
    """The number of layers of the model's stack."""
    return max((len(copies) for one in book.leaves for copies in one.steps if isinstance(copies, tuple)), default=1)


def _vocabulary(book: Ledger) -> int:
    return next(one.part.rows for one in book.leaves if isinstance(one.part, Embedding))


@dataclass(frozen=True, slots=True)
class _Run:
    ask: Ask
    raw: dict[str, Any]
    name: str
    device: TorchDevice
    machine: Machine
    whole: Ledger
    deep: int

    def book(self, layers: int) -> Ledger:
        """The ledger of the first layers."""
        if layers == self.deep:
            return self.whole
        return ledger(build(shallow(self.raw, layers, self.deep), self.name, self.name))

    def layers(self) -> tuple[int, str]:
        """How many layers run, and why not all; Impossible where not even one fits."""
        if self.ask.layers is not None:
            if not 1 <= self.ask.layers <= self.deep:
                raise UsageError(f"{self.name} has {self.deep} layers; got --layers {self.ask.layers}.")
            return self.ask.layers, "as asked" if self.ask.layers < self.deep else ""
        kept = self.deep
        while kept and not self._fits(kept):
            kept = kept // 2
        if not kept:
            raise Impossible(self._too_much())
        return kept, "" if kept == self.deep else self._why(kept)

    def _memory(self) -> float | None:
        return available(self.device)

    def _needs(self, layers: int) -> list[Need]:
        book = self.book(layers)
        return [need(book, workload, self.machine) for workload in workloads(self.ask, self.whole)]

    def _fits(self, layers: int) -> bool:
        memory, found = self._memory(), self._needs(layers)
        return all(fits(one, memory, self.ask.seconds / len(found)) for one in found)

    def _why(self, kept: int) -> str:
        most = max(self._needs(self.deep), key=lambda one: (one.bytes, one.step))
        return f"all {self.deep} would need {self._told(most)}; {kept} of them fit"

    def _told(self, found: Need) -> str:
        memory = self._memory()
        room = f" of {memory / 1e9:,.1f} GB free (bench takes {SHARE:.0%})" if memory else ""
        return (
            f"{found.bytes / 1e9:,.1f} GB{room} and about {STEPS * found.step:,.0f} s of "
            f"{self.ask.seconds / self._count:,.0f} s"
        )

    @property
    def _count(self) -> int:
        return len(self.ask.phases) * len(self.ask.batches)

    def _too_much(self) -> str:
        most = max(self._needs(1), key=lambda one: (one.bytes, one.step))
        return (
            f"One layer of {self.name} with its embeddings needs {self._told(most)} a case. "
            "Pass a smaller --batch or --seq, fewer phases, or more --seconds."
        )

    def made(self, layers: int) -> tuple[Ledger, Subject]:
        """The ledger and the running model of so many layers."""
        raw = self.raw if layers == self.deep else shallow(self.raw, layers, self.deep)
        with _memory_errors(self.name):
            return self.book(layers), subject(raw, self.name, self.machine.dtype, self.device, self.ask.using)

    def case(self, book: Ledger, made: Subject, asked: Workload, beat: Callable[[], None]) -> Case:
        """One phase at one batch, run for real."""
        with _memory_errors(self.name):
            step = step_of(
                asked.phase, made, self.device, _vocabulary(book), int(asked.batch), int(asked.seq), int(asked.past)
            )
            seconds = self.ask.seconds / self._count
            beats = iter(range(BEATS))

            def moved() -> None:
                for _ in islice(beats, 1):
                    beat()

            found = measure(step, made, self.device, seconds, moved)
        for _ in beats:
            beat()
        parts, between = join(book.model, found, forecasts(book, step.workload, self.machine), self.machine)
        made.module.zero_grad(set_to_none=True)
        return Case(
            step.workload, step.tokens, need(book, step.workload, self.machine), found, parts, between,
            self._scaled(book, parts, found, between),
        )  # fmt: skip

    def _scaled(self, book: Ledger, parts: Sequence[Part], found: Measured, between: int) -> float | None:
        """The step of the whole model: every layer once more as long as the layers that ran."""
        if book is self.whole or (times := _times(book, self.whole, parts)) is None:
            return None
        return found.step.median * (scaled(parts, times) + between) / found.total


def _times(book: Ledger, whole: Ledger, parts: Sequence[Part]) -> dict[str, float] | None:
    """How many times as often each part runs in the whole model; None where its layers are not all alike."""
    here, there = ({one.path: one.times for one in each.leaves} for each in (book, whole))
    if here.keys() != there.keys():
        return None
    found: dict[str, float] = {}
    for part in parts:
        below = [path for path in here if path == part.path or path.startswith(f"{part.path}.")]
        own = [f"{part.path}.{leaf}" for leaf in part.leaves] or (below if "*" in part.path else [])
        inside = [path for path in own if path in here]
        if inside:
            found[part.path] = sum(there[p] for p in inside) / sum(here[p] for p in inside)
    if "optimizer" in {part.path for part in parts}:
        found["optimizer"] = whole.params / book.params
    return found


class _memory_errors:  # noqa: N801 - reads as a context
    """What torch says when memory runs out, as a sentence."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: Any) -> None:
        if error is not None and _out_of_memory(error):
            raise Impossible(
                f"{self.name} ran out of memory ({str(error).strip().splitlines()[0][:120]}). "
                "Pass --layers with fewer layers, or a smaller --batch or --seq."
            ) from error


def _out_of_memory(error: BaseException) -> bool:
    said = str(error)
    return isinstance(error, MemoryError) or any(
        words in said for words in ("can't allocate memory", "out of memory", "not enough memory")
    )
