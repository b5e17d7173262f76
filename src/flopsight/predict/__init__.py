"""From a ledger and a machine to seconds: what a step takes, what binds it, and how sure that is."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """This package, which is also the verb: flopsight.predict("llama-3.1-70b", on="8xH100-SXM")."""

    def __call__(self, model: Any, **options: Any) -> Any:
        """Call `flopsight.api.predict`."""
        return import_module("flopsight.api").predict(model, **options)


# `flopsight.predict` is both this package and a verb; the api lies above this storey and is imported when called
sys.modules[__name__].__class__ = _CallableModule
