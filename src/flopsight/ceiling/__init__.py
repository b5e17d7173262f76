"""Measure what this machine can do at best.

quick(device)             a small set in a few seconds
record.measured(device)   what was saved of this machine, or why nothing
run                       everything: products, bandwidth by working set, launches, clocks watched
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from flopsight.ceiling.small import quick
from flopsight.ceiling.values import Ceilings

__all__ = ["Ceilings", "quick"]


class _CallableModule(ModuleType):
    """This package, which is also the verb: flopsight.ceiling("cpu", quick=True)."""

    def __call__(self, device: str = "", **options: Any) -> Any:
        """Call `flopsight.api.ceiling`."""
        return import_module("flopsight.api").ceiling(device, **options)


# `flopsight.ceiling` is both this package and a verb; the api lies above this storey and is imported when called
sys.modules[__name__].__class__ = _CallableModule
