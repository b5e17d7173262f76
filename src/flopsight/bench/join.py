"""Predicted beside measured: both sides brought to the ledger's paths, as fine as the running modules allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flopsight.bench.forecast import Forecast
from flopsight.bench.machine import Machine
from flopsight.bench.measure import Measured
from flopsight.bench.observe import SAMPLER
from flopsight.bench.timeline import BETWEEN
from flopsight.counted import Amount, Row
from flopsight.models.paths import deepest, place
from flopsight.models.tree import Model

OWN_PLACES = (SAMPLER, "optimizer")
"""Parts of a step that are no modules."""


@dataclass(slots=True)
class Part:
    """One place of the ledger.

    leaves     names of the ledger's parts that are run inside of it and are no modules of their own
    nanoseconds   measured, by pass
    forecast   all of its leaves together; None where the ledger has nothing for it
    counted    what the program's ops did there; None where nothing was counted
    predicted  seconds by pass: the ledger's products, and the vector ops that the program was counted to run
    """

    path: str
    leaves: list[str] = field(default_factory=list)
    nanoseconds: dict[str, int] = field(default_factory=dict)
    forecast: Forecast | None = None
    counted: Amount | None = None
    predicted: dict[str, float] = field(default_factory=dict)

    @property
    def measured(self) -> int:
        """All passes."""
        return sum(self.nanoseconds.values())


def join(model: Model, measured: Measured, forecasts: Iterable[Forecast], machine: Machine) -> tuple[list[Part], int]:
    """The parts in the order of the ledger, and the nanoseconds between them."""
    found: dict[str, Part] = {}
    between = 0
    for (module, during), nanoseconds in measured.watched.items():
        if (module, during) == BETWEEN:
            between += nanoseconds
            continue
        part = found.setdefault(_place(model, module), Part(_place(model, module)))
        part.nanoseconds[during] = part.nanoseconds.get(during, 0) + nanoseconds
    order = _add_forecasts(found, forecasts)
    _add_counts(found, model, measured)
    _predict(found, model, measured, machine)
    return [found[path] for path in dict.fromkeys([*order, *found])], between


def _place(model: Model, module: str) -> str:
    return module if module in OWN_PLACES else place(model, module)


def _add_forecasts(found: dict[str, Part], forecasts: Iterable[Forecast]) -> list[str]:
    """Each forecast goes to the deepest measured place; their order is the ledger's."""
    order = []
    for one in forecasts:
        path = deepest(one.path, found)
        part = found.setdefault(path, Part(path))
        order.append(path)
        if one.path != path:
            part.leaves.append(one.path.removeprefix(f"{path}."))
        part.forecast = one if part.forecast is None else part.forecast + one
    return order


def _add_counts(found: dict[str, Part], model: Model, measured: Measured) -> None:
    if measured.counted is None:
        return
    for row in measured.counted.rows:
        path = _counted_place(found, model, row)
        part = found.setdefault(path, Part(path))
        part.counted = (part.counted or Amount()) + row.amount


def _predict(found: Mapping[str, Part], model: Model, measured: Measured, machine: Machine) -> None:
    """Products as the ledger has them; vector ops as the program has them, fused or not, where they were counted."""
    for part in found.values():
        if part.forecast is not None:
            part.predicted = dict(part.forecast.seconds if measured.counted is None else part.forecast.products)
    if measured.counted is None:
        return
    for row in measured.counted.rows:
        part = found[_counted_place(found, model, row)]
        if row.engine == "vector" or row.during == "optimizer":
            seconds = part.predicted.get(row.during, 0.0) + vector_seconds(row.amount, machine)
            part.predicted[row.during] = seconds


def vector_seconds(amount: Amount, machine: Machine) -> float:
    """Bytes over the bandwidth of one call's working set, and a launch a call."""
    each = amount.bytes.total / max(amount.calls, 1)
    return amount.bytes.total / machine.moved(max(each, 1.0)) + amount.calls * machine.launch


def _counted_place(found: Mapping[str, Part], model: Model, row: Row) -> str:
    if row.during == "optimizer":
        return row.during
    # the counter knows modules only: what runs in none of them is the loss, or the choice of a token
    return deepest(_place(model, row.module), found) if row.module else SAMPLER


def scaled(parts: Iterable[Part], times: Mapping[str, float]) -> float:
    """Nanoseconds of a deeper model: each part times how often it is run there over how often here."""
    return sum(part.measured * times.get(part.path, 1.0) for part in parts)
