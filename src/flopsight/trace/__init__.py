"""Waist 2: what was measured, whatever the clock, file or server it came from.

    columns    Kernels and Host: what devices and threads did, as columns
    trace      Trace, Device, Signature, Collective, Metric, Series, Unread
    intervals  unions, cuts and lengths of intervals, never sums of overlapping durations

Times are whole nanoseconds. -1 is "not recorded" in every column of whole numbers, NaN in every column of values;
a kernel whose end is before its start has an unknown duration.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from flopsight.trace.columns import HOST_KINDS, KERNEL_KINDS, Host, Kernels
from flopsight.trace.trace import Collective, Device, Metric, Names, Series, Signature, Trace, Unread

__all__ = [
    "HOST_KINDS", "KERNEL_KINDS", "Collective", "Device", "Host", "Kernels", "Metric", "Names", "Series", "Signature",
    "Trace", "Unread",
]  # fmt: skip


class _CallableModule(ModuleType):
    """This package, which is also the verb: flopsight.trace("trace.json.gz")."""

    def __call__(self, *files: Any, **options: Any) -> Any:
        """Call `flopsight.api.trace`."""
        return import_module("flopsight.api").trace(*files, **options)


# `flopsight.trace` is both this package and a verb; the api lies above this storey and is imported when called
sys.modules[__name__].__class__ = _CallableModule
