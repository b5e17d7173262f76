"""Meter a running training or inference loop without disturbing it.

    meter      Meter: hooks on one model and one optimizer, or `with meter.step(tokens=n)`
    report     MeterReport, and the names of values in logs
    sinks      where values go
    callbacks  trainers that bring their own loop
    run        `flopsight run -- python train.py`

Nothing is imported before it is asked for: `run` is looked at while torch itself is being imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flopsight.meter.meter import Meter as Meter
    from flopsight.meter.report import NAMES as NAMES
    from flopsight.meter.report import MeterReport as MeterReport

__all__ = ["NAMES", "Meter", "MeterReport"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'flopsight.meter' has no attribute {name!r}")
    from importlib import import_module

    try:
        import_module("torch")
    except ImportError as error:
        from flopsight.errors import MissingCapability

        raise MissingCapability(
            "A meter needs torch, which is not installed; pip install 'flopsight[torch]'."
        ) from error
    return getattr(import_module("flopsight.meter.meter" if name == "Meter" else "flopsight.meter.report"), name)
