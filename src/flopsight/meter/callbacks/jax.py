"""Loops around a jitted step, in JAX or Flax.

step = JaxMeter(jax.jit(train_step), state, batch, on="h100-sxm")
for batch in data:
    state, loss = step(state, batch)
print(step.report())
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import flopsight.jax
from flopsight.meter.callbacks.guard import Guard
from flopsight.meter.callbacks.in_flight import Flight, InFlight
from flopsight.meter.callbacks.jax_report import Place, report_of
from flopsight.meter.report import MeterReport
from flopsight.meter.sinks import Sink, sink_for
from flopsight.meter.warn import warn
from flopsight.meter.work import Work, work_of

WARM = 2
KEPT = 4096
ARRAYS = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)


@dataclass(slots=True)
class Known:
    """What is known of a signature; `held` is the place of the result that is asked, -1 if none can be."""

    work: Work
    tokens: int | None
    held: int | None = None


class JaxMeter:
    """Calls a step as it is, and meters it.

    step            the jitted function of a step, of training or inference; called with the same arguments, and what
                    it returns or raises is passed on
    example_args    arrays or jax.ShapeDtypeStructs of a first call, to count it before; else the first call counts
    on              the chip whose peak divides; by default the one that JAX runs on, by its exact name
    every           steps between two writes to `log`, and those that values are over
    log             where values go, as of flopsight.Meter
    tokens          of a step; by default the elements of the first matrix of whole numbers among the arguments
    static_argnums  positions of arguments that are values, as given to jax.jit

    The work is that of the function's jaxpr, counted once for each signature of shapes. It is the whole program's, on
    all the devices that its arguments lie on, and is divided by the peaks of all of them.

    JAX returns before a step is computed, and no step is waited for. At each call, the results of those before are
    asked whether they are ready, and steps found done share the wall time since steps were last found done. So the time
    is that of the whole loop, data and logging included, found out at the next call: that of a single step is rough,
    the rate over many is right. Steps still underway are in no number. A result whose memory was donated to a later
    step cannot be asked; where each is, a step is taken for done when 64 were called after it, and only a rate over
    many more is right. Names of values are those of flopsight.Meter; `step_seconds` is a mean.
    """

    def __init__(
        self, step: Callable[..., Any], *example_args: Any, on: str | None = None, every: int = 10, log: Any = None,
        tokens: int | None = None, static_argnums: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        self._step, self._on, self._every = step, on, max(1, every)
        self._tokens, self._static = tokens, static_argnums
        self._sinks: list[Sink] = [sink_for(each) for each in _listed(log)]
        self._known: dict[Any, Known] = {}
        self._flights, self._done = InFlight(), deque[Flight](maxlen=KEPT)
        self._place = Place(on)
        self._called = self._written = 0
        self._guard = Guard(self._known.clear)
        if example_args:
            self._guard.run(self._know_example, example_args)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A step."""
        begun = time.perf_counter()
        known = self._guard.run(self._begin, args, kwargs, begun)
        out = self._step(*args, **kwargs)
        if known is not None:
            self._guard.run(self._end, known, out, begun)
        return out

    def report(self) -> MeterReport:
        """Everything found done so far."""
        return self._report(list(self._done))

    @property
    def last(self) -> MeterReport:
        """The same over the last `every` ordinary steps."""
        return self._report([flight for flight in self._done if not flight.odd][-self._every :])

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any], now: float) -> tuple[Known, Flight] | None:
        leaves, key = _key(args, kwargs, self._static)
        if any(issubclass(kind, jax.core.Tracer) for kind in set(map(type, leaves))):
            return None  # the step is part of a function that is being traced: no step of the loop
        self._done.extend(self._flights.landed(now))
        self._write()
        self._called += 1
        odd = "warm-up" if self._called <= WARM else ""
        if key not in self._known:
            self._know(key, leaves, args, kwargs)
            odd = odd or "counted"
        if odd:
            self._flights.upset(odd)
            self._place.see(leaves)
        known = self._known[key]
        return known, Flight(known.work, self._tokens or known.tokens, odd)

    def _end(self, begun: tuple[Known, Flight], out: Any, now: float) -> None:
        known, flight = begun
        results = jax.tree.leaves(out)
        if known.held is None:
            known.held = _smallest(results)
        flight.result = results[known.held] if known.held >= 0 else None
        self._flights.add(flight, now)

    def _know_example(self, args: tuple[Any, ...]) -> None:
        leaves, key = _key(args, {}, self._static)
        self._know(key, leaves, args, {})

    def _know(self, key: Any, leaves: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        counted = flopsight.jax.count(self._step, *args, static_argnums=self._static, **kwargs)
        self._place.see(leaves)
        self._place.trains |= any(row.during == "backward" for row in counted.rows)
        self._known[key] = Known(self._place.with_floor(work_of(counted), counted), _tokens(leaves))

    def _write(self) -> None:
        if self._called // self._every == self._written or not self._sinks:
            return
        self._written = self._called // self._every
        values = self.last.values()
        for sink in list(self._sinks):
            try:
                sink.write(values, self._called)
            except Exception as error:  # noqa: BLE001 - a logger may die, the loop goes on
                self._sinks.remove(sink)
                warn(f"a logger failed and is left out from now on: {type(error).__name__}: {error}")

    def _report(self, flights: Sequence[Flight]) -> MeterReport:
        failed = [f"The meter stepped aside: {self._guard.failed}."] if self._guard.failed else []
        return report_of(flights, self._place, self._called, failed)


def _key(args: tuple[Any, ...], kwargs: dict[str, Any], static: tuple[int, ...]) -> tuple[list[Any], Any]:
    """(leaves, shapes and formats and values of static arguments); nothing is read from a device."""
    values = tuple(arg for place, arg in enumerate(args) if place in static)
    leaves, tree = jax.tree.flatten(([arg for place, arg in enumerate(args) if place not in static], kwargs))
    arrays = {kind for kind in set(map(type, leaves)) if issubclass(kind, ARRAYS)}
    parts = [(leaf.shape, leaf.dtype) if type(leaf) in arrays else type(leaf) for leaf in leaves]
    return leaves, (tree, values, *parts)


def _smallest(results: Sequence[Any]) -> int:
    """Which one to hold until it is ready; of equals the last: losses come after states, which are donated."""
    arrays = [(place, leaf) for place, leaf in enumerate(results) if isinstance(leaf, jax.Array)]
    sizes = [(leaf.size, -place) for place, leaf in arrays if isinstance(leaf.dtype, np.dtype)]  # keys cannot be asked
    return -min(sizes)[1] if sizes else -1


def _tokens(leaves: Sequence[Any]) -> int | None:
    for leaf in leaves:
        if isinstance(leaf, ARRAYS) and len(leaf.shape) == 2 and jax.numpy.issubdtype(leaf.dtype, np.integer):
            return math.prod(leaf.shape)
    return None


def _listed(log: Any) -> list[Any]:
    if log is None:
        return []
    return list(log) if isinstance(log, (list, tuple)) else [log]
