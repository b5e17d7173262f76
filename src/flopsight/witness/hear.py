"""Every testimony that a trace's counters allow."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from flopsight.trace import Trace
from flopsight.witness.testimony import Testimony

FAMILIES: Final[tuple[str, ...]] = ("xla", "cpu", "exporters", "amd")
"""Modules of this package with `testimonies(trace)`."""


def testimonies(trace: Trace) -> tuple[Testimony, ...]:
    """All families' testimonies; none where the trace holds no counters."""
    if not trace.metrics and not trace.series:
        return ()
    return tuple(one for name in FAMILIES for one in import_module(f"flopsight.witness.{name}").testimonies(trace))
