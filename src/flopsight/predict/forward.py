"""A model on a device under a plan, ready to be asked for the time of a pass, one at a time or a million at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from flopsight.expr import Number
from flopsight.models.ledger import Ledger
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device
from flopsight.predict.formats import Resolved, resolve
from flopsight.predict.shard import Shard, shard
from flopsight.predict.step import Line, Split, lines, total, work_on
from flopsight.predict.tasks import Task
from flopsight.workload import Work, Workload

FINE: Final = 16
"""Knots an octave above 16 tokens; every token count below has its own."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds by tokens: those of the first knot below it, straight between knots."""

    knots: Sequence[float]
    seconds: Sequence[float]

    def __call__(self, tokens: Number) -> Number:
        """At one count or an array of them."""
        if isinstance(tokens, int | float):
            return self._at(tokens)
        import numpy as np

        beyond = np.maximum(tokens / self.knots[-1], 1.0)
        return np.interp(tokens, self.knots, self.seconds) * beyond

    def _at(self, tokens: float) -> float:
        x, y = self.knots, self.seconds
        if tokens <= x[0]:
            return y[0]
        i = min(max(bisect_right(x, tokens) - 1, 0), len(x) - 2)
        return y[i] + (y[i + 1] - y[i]) * (tokens - x[i]) / (x[i + 1] - x[i])


class Forward:
    """The forward pass of one device; pipeline stages are summed, as one token sees them.

    `lines` gives every task with its causes, `seconds` the same total through curves over the number of tokens.
    """

    def __init__(self, book: Ledger, device: Device, plan: Plan, formats: Formats, *, training: bool = False) -> None:
        self.book, self.device, self.plan = book, device, plan
        self.kept: Resolved = resolve(book, device, formats)
        self.shard: Shard = shard(book, plan, self.kept, device, training=training)

    def works(self, workload: Workload) -> dict[str, Work]:
        """The tokens of each stream that one context-parallel device sees; `batch` is that of one model replica."""
        return {name: work_on(work, self.plan.cp) for name, work in self.book.works(workload).items()}

    def lines(self, workload: Workload) -> list[Line]:
        """Every task of one pass; cores see whole sequences, their share is in the kernel."""
        whole, local = self.book.works(workload), self.works(workload)
        tokens = lines(tuple(t for t in self.shard.tasks if t.by_tokens), self.device, local)
        rest = lines(tuple(t for t in self.shard.tasks if not t.by_tokens), self.device, whole)
        return [*tokens, *rest]

    def split(self, workload: Workload) -> Split:
        """The causes of one pass."""
        return total(self.lines(workload))

    # ------------------------------------------------------------ compiled

    @cached_property
    def _streams(self) -> dict[str, tuple[Task, ...]]:
        found: dict[str, list[Task]] = {}
        for task in self.shard.tasks:
            if task.by_tokens:
                found.setdefault(task.stream, []).append(task)
        return {stream: tuple(tasks) for stream, tasks in found.items()}

    @cached_property
    def _rest(self) -> tuple[tuple[Task, int], ...]:
        """Tasks that see more than the number of tokens, equal kernels gathered."""
        found: dict[tuple[Any, str], list[Any]] = {}
        for task in self.shard.tasks:
            if not task.by_tokens:
                found.setdefault((task.kernel, task.stream), [task, 0])[1] += task.times
        return tuple((task, times) for task, times in found.values())

    @lru_cache(16)  # noqa: B019 - a forward lives as long as its model
    def curve(self, stream: str) -> Curve:
        """Seconds of everything in a stream that depends on its tokens alone."""
        import numpy as np

        knots = _knots()
        work = Work(knots, 1)
        seconds = np.zeros(len(knots))
        for task in self._streams.get(stream, ()):
            seconds = seconds + task.times * task.kernel.seconds(self.device, work)
        return Curve(knots.tolist(), seconds.tolist())

    def seconds(self, batch: Number, queries: Number = 1, past: Number = 0, *, decode: bool = False) -> Number:
        """Seconds of a pass of `batch` sequences, each with `queries` tokens now behind `past` cached ones.

        Without pictures or sounds; those need `lines`.
        """
        cp = self.plan.cp
        if not self.plain:
            return self.streamwise(Workload("decode" if decode else "prefill", batch, queries, past))
        text = self.curve("text")(batch * queries if cp == 1 else -(-batch * queries // cp))
        return text + self.curve("scored")(batch) + self.core(Work(batch, queries, past, absorbed=decode))

    @cached_property
    def plain(self) -> bool:
        """Whether all tasks see the text or the scored positions, as decoders do."""
        return all(task.stream in ("text", "scored") for task in self.shard.tasks) and not self.book.by_sample

    def streamwise(self, workload: Workload) -> Number:
        """The same for models with an encoder or other streams, stream by stream."""
        whole, local = self.book.works(workload), self.works(workload)
        seconds: Number = 0.0
        for stream in self._streams:
            busy = _busy(local[stream])
            if not isinstance(busy, int) or busy:
                seconds = seconds + busy * self.curve(stream)(local[stream].tokens)
        for task, times in self._rest:
            busy = _busy(whole[task.stream])
            if not isinstance(busy, int) or busy:
                seconds = seconds + busy * times * task.kernel.seconds(self.device, whole[task.stream])
        return seconds

    def mixed(self, batch: Number, past: Number, chunk: Number, chunk_past: Number, prefills: Number = 1) -> Number:
        """Seconds of a pass that decodes `batch` sequences and prefills `chunk` tokens each of `prefills` others."""
        text = self.curve("text")(batch + chunk * prefills)
        decode = self.core(Work(batch, 1, past, absorbed=True))
        return text + self.curve("scored")(batch + prefills) + decode + self.core(Work(prefills, chunk, chunk_past))

    def core(self, work: Work) -> Number:
        """Seconds of attention and whatever else sees sequences rather than tokens."""
        seconds: Number = 0.0
        for task, times in self._rest:
            if task.stream == "text":
                seconds = seconds + times * task.kernel.seconds(self.device, work)
        return seconds


def _busy(work: Work) -> Any:
    """1 where a stream has tokens: a number, an array, or 0 where it has none at all."""
    there = work.tokens != 0
    if isinstance(there, bool):
        return int(there)
    return there * 1 if there.any() else 0


@lru_cache(1)
def _knots() -> Any:
    """Every count to 16, then 16 an octave and one beside each (tiles begin anew after round counts)."""
    import numpy as np

    fine = [round(2 ** (4 + i / FINE)) for i in range((22 - 4) * FINE + 1)]
    tiles = [n + 1 for n in range(64, 8192, 64)] + list(range(64, 8193, 64))
    return np.array(sorted({*range(1, 17), *fine, *tiles}), dtype=float)


_MADE: dict[tuple[Any, ...], Forward] = {}


def forward(book: Ledger, device: Device, plan: Plan, formats: Formats, *, training: bool = False) -> Forward:
    """The forward pass of a model on a device, made once."""
    key = (book, device, plan, formats, training)
    if key not in _MADE:
        if len(_MADE) > 256:
            _MADE.clear()
        _MADE[key] = Forward(book, device, plan, formats, training=training)
    return _MADE[key]
