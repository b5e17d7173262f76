"""Run a model on the device that is there, and put what was predicted beside what was measured, part by part."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """This package, which is also the verb: flopsight.bench("smollm2-135m", phases=["prefill"])."""

    def __call__(self, model: Any, **options: Any) -> Any:
        """Call `flopsight.api.bench`."""
        return import_module("flopsight.api").bench(model, **options)


# `flopsight.bench` is both this package and a verb; the api lies above this storey and is imported when called
sys.modules[__name__].__class__ = _CallableModule
