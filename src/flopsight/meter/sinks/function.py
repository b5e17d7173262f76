"""A function of (values, step)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flopsight.meter.sinks.sink import Values


@dataclass(frozen=True, slots=True)
class FunctionSink:
    """Calls a function with the values and the step."""

    function: Callable[[Values, int], Any]

    def write(self, values: Values, step: int) -> None:
        """Call it."""
        self.function(values, step)
