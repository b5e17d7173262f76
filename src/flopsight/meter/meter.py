"""`Meter`: what a running loop reaches, without a wait, a change or an exception of its own."""

from __future__ import annotations

import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any

import torch

from flopsight.counted import Counted
from flopsight.facts import Unknown
from flopsight.meter import clock
from flopsight.meter.counter import Watch, beside, compilations, is_compiled
from flopsight.meter.hooks import Hooks
from flopsight.meter.peaks import Roofs, roofs_of
from flopsight.meter.ranks import Board, Share
from flopsight.meter.report import MeterReport, percentiles
from flopsight.meter.signature import Key, Shape, form_of, key_of, shape_of
from flopsight.meter.sinks import Sink, sink_for
from flopsight.meter.steps import WARM, History, Odd, Step, Sums, sums
from flopsight.meter.warn import warn
from flopsight.meter.work import Work, Works, floor_of, work_of

Call = tuple[Key, Key, Shape | None]


def harmless(method: Callable[..., Any]) -> Callable[..., Any]:
    """Whatever goes wrong in the meter is said once, and the meter steps aside."""

    @wraps(method)
    def guarded(self: Meter, *args: Any, **kwargs: Any) -> Any:
        if self.failed:
            return None
        try:
            return method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the user's loop goes on
            self._fail(error)
            return None

    return guarded


class Meter:
    """Meters a training or an inference loop.

        meter = flopsight.Meter(model, optimizer)           # then train as before: steps are noticed
        with flopsight.Meter(model).step(tokens=n): ...     # or say what a step is
        print(meter.report())

    model       the module that the loop calls: the compiled, DDP or FSDP wrapper where there is one
    optimizer   its step ends a step; without one every call of the model is a step of inference
    on          the chip whose peak divides; by default the one the parameters are on, by its driver's exact name
    every       steps between two writes to `log`
    log         where values go: a path, a function of (values, step), a logger, or a list of these

    Each shape of input is counted once, with `flopsight.torch.counting`; then only the clock is read. What is counted
    or looked up is on this rank; with torch.distributed, `report()` adds up the ranks that have written.
    """

    def __init__(
        self, model: torch.nn.Module | None = None, optimizer: torch.optim.Optimizer | None = None, *,
        on: str | None = None, every: int = 10, log: Any = None,
    ) -> None:  # fmt: skip
        self.failed = ""
        self._model = None if model is None else weakref.ref(model)
        self._on, self._every = on, max(1, every)
        self._sinks: list[Sink] = [sink_for(each) for each in _listed(log)]
        self._hooks = Hooks(self)
        self._works, self._history, self._board = Works(), History(), Board()
        self._watch: Watch | None = None
        self._begun: tuple[clock.Span, float] | None = None
        self._calls: list[Call] = []
        self._pieces: list[tuple[Call, Counted, bool]] = []
        self._wholes: dict[tuple[Key, ...], Work] = {}
        self._recount = False
        self._depth = 0
        self._explicit = self._trains = False
        self._odd: Odd = ""
        self._ended: int | None = None
        self._graphs = 0
        self._training = False
        if model is not None:
            self._hooks.on_model(model)
        if optimizer is not None:
            self.stepped_by(optimizer)

    @property
    def model(self) -> torch.nn.Module | None:
        """The module that is metered; None once it is gone."""
        return None if self._model is None else self._model()

    def stepped_by(self, optimizer: torch.optim.Optimizer) -> None:
        """Let this optimizer's step end a step; what went before was no training."""
        if not self._trains:
            self._history = History()
        self._trains = True
        self._hooks.on_optimizer(optimizer)

    def detach(self) -> None:
        """Take every hook back; the report stays."""
        self._end_watch()
        self._hooks.remove()

    @contextmanager
    def step(self, tokens: int | None = None) -> Iterator[Meter]:
        """What runs inside is one step.

        tokens   that it works on; by default sequences times length of the model's calls
        """
        self._begin_explicit(tokens)
        try:
            yield self
        finally:
            self._end_explicit(tokens)

    @harmless
    def _begin_explicit(self, tokens: int | None) -> None:
        self._explicit = True
        self._open()
        if self._model is None:
            self._call(("step", tokens), ("step",), None, (), {})

    @harmless
    def _end_explicit(self, tokens: int | None) -> None:
        self._end_watch()
        self._close(tokens)
        self._explicit = False

    @harmless
    def called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The model is about to be called."""
        self._depth += 1
        if self._depth > 1 or (self._trains and not self._explicit and not torch.is_grad_enabled()):
            return  # a call inside of a call, or an evaluation between steps of training
        self._end_watch()
        self._open()
        shape = shape_of(args, kwargs)
        model = self.model
        anchor = next(model.parameters(), None) if model is not None else None
        place = None if anchor is None else (anchor.dtype, anchor.device)
        key = (place, *key_of(args, kwargs))
        self._training = torch.is_grad_enabled() and (model is None or model.training)
        self._call(key, None, shape, args, kwargs)

    @harmless
    def returned(self) -> None:
        """The call is over; a step of inference is too."""
        self._depth = max(0, self._depth - 1)
        if self._depth == 0 and not self._explicit and not self._trains and not self._training and self._begun:
            self._end_watch()
            self._close(None)

    @harmless
    def stepped(self) -> None:
        """The optimizer has stepped."""
        if not self._explicit and self._begun:
            self._end_watch()
            self._close(None)

    def report(self) -> MeterReport:
        """Everything so far; MeterReport's docstring says what each number is."""
        self._history.poll()
        return self._report(self._history.ordinary())

    @property
    def last(self) -> MeterReport:
        """The same over the last `every` ordinary steps."""
        self._history.poll()
        return self._report(self._history.ordinary(self._every))

    def _open(self) -> None:
        if self._begun is not None:
            return
        now = time.perf_counter_ns()
        outside = 0.0 if self._ended is None else (now - self._ended) / 1e9
        self._odd = "warm-up" if self._history.total < WARM else ""
        self._graphs = compilations()
        self._begun = clock.begin(self._device()), outside

    def _call(self, key: Key, form: Key | None, shape: Shape | None, args: Any, kwargs: Any) -> None:
        if key not in self._works.known:
            form = form or form_of(key, shape)
            if self._recount or (self._works.find(key, form, shape) is None and not self._foreseen(key)):
                self._odd = self._odd or "counted"
                self._count((key, form, shape), args, kwargs)
        self._calls.append((key, form or (), shape))

    def _foreseen(self, key: Key) -> bool:
        """Whether a step that was counted as a whole began as this one does."""
        now = (*(known for known, _, _ in self._calls), key)
        return any(whole[: len(now)] == now for whole in self._wholes)

    def _count(self, call: Call, args: Any, kwargs: Any) -> None:
        model, training = self.model, self._training
        if model is not None and is_compiled(model):
            self._pieces.append((call, beside(model, args, kwargs, backward=training), False))
        else:
            self._watch = Watch(model, lambda counted: self._pieces.append((call, counted, training)))

    def _settle(self) -> None:
        """Keep what was counted: call by call, or for the step as a whole where calls share a backward pass."""
        pieces, self._pieces = self._pieces, []
        if all(
            not training or any(row.during == "backward" for row in counted.rows) for _, counted, training in pieces
        ):
            for call, counted, _ in pieces:
                self._works.add(*call, self._work(counted))
            self._recount = self._recount and not pieces
        elif len(pieces) == len(self._calls):
            rows = Counted(tuple(row for _, counted, _ in pieces for row in counted.rows))
            first = pieces[0][1]
            self._wholes[self._keys()] = self._work(Counted(rows.rows, first.uncounted, first.notes))
            self._recount = False
        else:
            self._recount = True

    def _keys(self) -> tuple[Key, ...]:
        return tuple(key for key, _, _ in self._calls)

    def _work(self, counted: Counted) -> Work:
        work = work_of(counted)
        roofs = roofs_of(str(self._device()), work.dtype, self._on) if work.dtype else Unknown("nothing was multiplied")
        if isinstance(roofs, Roofs):
            work = replace(work, floor=floor_of(counted, roofs.flops, roofs.bandwidth))
        return work

    def _told(self) -> list[Work] | None:
        """The works of the step that is ending; None where one of them is not known."""
        if (whole := self._wholes.get(self._keys())) is not None:
            return [whole]
        works = [self._works.find(*call) for call in self._calls]
        known = [w for w in works if w is not None]
        return known if known and len(known) == len(works) else None

    def _end_watch(self) -> None:
        if self._watch is not None:
            watch, self._watch = self._watch, None
            watch.end()

    def _close(self, tokens: int | None) -> None:
        if self._begun is None:
            return
        span, outside = self._begun
        span.end()
        self._ended = time.perf_counter_ns()
        if compilations() != self._graphs and not self._odd:
            self._odd = "compiled"
        self._settle()
        told = self._told()
        self._recount = self._recount or (told is None and bool(self._calls))
        step = Step(self._history.total + 1, span, outside, tokens or _tokens(self._calls), told, self._odd)
        self._begun, self._calls = None, []
        self._history.add(step)
        if self._history.total % self._every == 0:
            self._write()

    def _write(self) -> None:
        if not self._sinks and self._board.alone:
            return
        found = self.last
        values = found.values()
        for sink in list(self._sinks):
            try:
                sink.write(values, self._history.total)
            except Exception as error:  # noqa: BLE001 - a logger may die, the loop goes on
                self._sinks.remove(sink)
                warn(f"a logger failed and is left out from now on: {type(error).__name__}: {error}")

    def _device(self) -> torch.device:
        model = self.model
        anchor = None if model is None else next(model.parameters(), None)
        if anchor is not None:
            return anchor.device
        return torch.get_default_device()

    def _fail(self, error: Exception) -> None:
        self.failed = f"{type(error).__name__}: {error}"
        try:
            self.detach()
        finally:
            warn(f"the meter stepped aside: {self.failed}")

    def _report(self, steps: Sequence[Step]) -> MeterReport:
        total = sums(steps)
        works = [w for s in steps for w in s.works or ()]
        dtype = works[-1].dtype if works else ""
        device = self._device()
        roofs = roofs_of(str(device), dtype, self._on) if dtype else Unknown("nothing was counted yet")
        peak = roofs.flops if isinstance(roofs, Roofs) else 0.0
        bandwidth = roofs.bandwidth if isinstance(roofs, Roofs) else 0.0
        world = self._board.exchange(Share(total.known, total.required, total.executed, total.worked, peak))
        middle, spread = percentiles([s.seconds or 0.0 for s in steps]) if steps else (None, None)
        return MeterReport(
            phase="training" if self._trains or self._training else "inference",
            device=roofs.device if isinstance(roofs, Roofs) else str(device), dtype=dtype,
            peak=f"{roofs.flops / 1e12:,.4g} TFLOP/s ({roofs.source})" if isinstance(roofs, Roofs) else roofs.why,
            steps=self._history.total, ordinary=total.steps, odd=self._oddities(), step_seconds=middle, spread=spread,
            tokens_per_second=total.rate, mfu=_share(total.required, total.worked, peak),
            hfu=_share(total.executed, total.worked, peak), mbu=_share(total.products, total.worked, bandwidth),
            attainable=total.floor / total.worked if total.floor and total.worked else None,
            flops=_each(total.required, total.known), full_square=_each(total.full_square, total.known),
            executed=_each(total.executed, total.known), overall_mfu=self._overall(peak),
            outside_seconds=total.outside / total.steps if total.steps else None, lost_seconds=self._lost(),
            calls_a_step=len(works) / total.known if total.known else 1.0, ranks=len(world.shares), world=world.size,
            global_mfu=world.utilization(), global_flops=world.required,
            uncounted=sorted({op for w in works for op in w.uncounted}), notes=self._notes(total, works),
        )  # fmt: skip

    def _oddities(self) -> dict[str, int]:
        slow = {"slow": len(self._history.slow())}
        return dict(Counter(s.odd for s in self._history.done if s.odd)) | {k: n for k, n in slow.items() if n}

    def _overall(self, peak: float) -> float | None:
        later = [s for s in self._history.done if s.odd != "warm-up"]
        done = sums(later)
        if done.known != done.steps:
            return None
        return _share(done.required, done.seconds + done.outside, peak)

    def _lost(self) -> float:
        outside = sum(s.outside for s in self._history.done)
        return outside + sum(s.seconds or 0.0 for s in self._history.slow())

    def _notes(self, total: Sums, works: Sequence[Work]) -> list[str]:
        notes = list(dict.fromkeys(note for w in works for note in w.notes))
        if total.steps > total.known:
            notes.append(f"The work of {total.steps - total.known} ordinary steps is not known; they are in no MFU.")
        return notes + ([f"The meter stepped aside: {self.failed}."] if self.failed else [])


def _listed(log: Any) -> list[Any]:
    if log is None:
        return []
    return list(log) if isinstance(log, (list, tuple)) else [log]


def _tokens(calls: Sequence[Call]) -> int | None:
    shapes = [shape for _, _, shape in calls]
    return None if not shapes or None in shapes else sum(s.tokens for s in shapes if s is not None)


def _share(amount: float, seconds: float, peak: float) -> float | None:
    return amount / seconds / peak if amount and seconds and peak else None


def _each(amount: float, steps: int) -> float | None:
    return amount / steps if steps else None
