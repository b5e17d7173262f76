"""Gathered rows -> the parts of a trace: launches joined, costs as metrics, the processor as device if it is one."""

from __future__ import annotations

from typing import Any, Final, TypedDict

import numpy as np

from flopsight.readers.xplane import cpu
from flopsight.readers.xplane.rows import Rows
from flopsight.trace import Collective, Device, Host, Kernels, Metric
from flopsight.trace.nesting import nested

COSTS: Final = {
    "flops": ("xla_flops", "flop"), "bytes_accessed": ("xla_bytes_accessed", "byte"),
    "model_flops": ("xla_model_flops", "flop"),
}  # fmt: skip
NO_DEVICE: Final = "The file has no plane of a device: it was recorded on the host alone."
ON_CPU: Final = (
    "The file has no plane of a device; the ops that XLA's threads recorded are read as those of the device 'cpu'."
)


class Parts(TypedDict):
    """The parts of a Trace that come from its events."""

    devices: tuple[Device, ...]
    names: tuple[str, ...]
    kernels: Kernels
    host: Host
    threads: tuple[str, ...]
    collectives: tuple[Collective, ...]
    metrics: tuple[Metric, ...]
    notes: tuple[str, ...]


def assembled(rows: Rows, devices: tuple[Device, ...]) -> Parts:
    """All rows, joined."""
    columns = {name: np.concatenate(parts) for name, parts in rows.kernels.items()}
    threads: dict[str, Any] = {name: np.concatenate(parts) for name, parts in rows.host.items()}
    ordinal = threads.pop("ordinal", np.empty(0, np.int64))
    host = nested(Host.of(**threads or {"start": ()}))
    costs = {name: columns.pop(name, np.empty(0)) for name in COSTS}
    notes: tuple[str, ...] = ()
    if not devices:
        columns, devices = cpu.columns(host, ordinal)
        notes = (ON_CPU,) if devices else (NO_DEVICE,)
    elif columns:
        columns["host"] = launches(columns["correlation"], host)
    return Parts(
        devices=devices, names=rows.names.texts(), kernels=Kernels.of(**columns or {"start": np.empty(0, np.int64)}),
        host=host, threads=rows.threads.texts(), collectives=tuple(rows.collectives), metrics=_metrics(costs),
        notes=notes,
    )  # fmt: skip


def launches(correlation: Any, host: Host) -> Any:
    """Row of the first call with the same correlation; -1 where there is none."""
    calls = np.flatnonzero(host.correlation >= 0)
    numbers, first = np.unique(host.correlation[calls], return_index=True)
    if not len(numbers):
        return np.full(len(correlation), -1)
    at = np.minimum(np.searchsorted(numbers, correlation), len(numbers) - 1)
    return np.where((numbers[at] == correlation) & (correlation >= 0), calls[first[at]], -1)


def _metrics(costs: dict[str, Any]) -> tuple[Metric, ...]:
    """What XLA's cost model says of each op, where it says something."""
    return tuple(Metric(*COSTS[name], values) for name, values in costs.items() if not np.isnan(values).all())
