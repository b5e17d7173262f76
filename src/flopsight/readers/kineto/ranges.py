"""Counters that the range profiler wrote into events of their own (CUPTI, cuda_profiler_range)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flopsight.readers.events import Events
from flopsight.readers.kineto.build import RANGES
from flopsight.readers.limits import Limits, unpacked
from flopsight.trace import Kernels, Metric
from flopsight.trace.columns import RANGE


@dataclass
class Ranges:
    """Counters by range, in the order of the file."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def metrics(self, kernels: Kernels) -> tuple[Metric, ...]:
        """Counters by row of Kernels; none where the ranges of the file are not all of its ranges."""
        places = np.flatnonzero(kernels.kind == RANGE)
        if not self.rows or len(places) != len(self.rows):
            return ()
        names = dict.fromkeys(name for one in self.rows for name in one)
        return tuple(Metric(name, "", self._column(name, places, len(kernels))) for name in names)

    def _column(self, name: str, places: Any, size: int) -> Any:
        values = np.full(size, np.nan)
        values[places] = [one.get(name, np.nan) for one in self.rows]
        return values


class _Any(msgspec.Struct):
    ph: str = ""
    cat: str = ""
    args: dict[str, Any] | None = None


def read(path: Path, limits: Limits) -> Ranges:
    """A second pass that keeps every number of those events."""
    found = Ranges()
    decoder = msgspec.json.Decoder(list[_Any])
    with unpacked(path, limits) as source:
        events = Events(source, decoder, lambda event: msgspec.convert(event, _Any))
        for piece in events.pieces():
            for one in piece:
                if one.ph == "X" and one.cat == RANGES:
                    found.rows.append({k: float(v) for k, v in (one.args or {}).items() if _numeric(v)})
    return found


def _numeric(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
