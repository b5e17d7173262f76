"""Meter a running training or inference loop without disturbing it.

meter     Meter: hooks on one model and one optimizer, or `with meter.step(tokens=n)`
report    MeterReport, and the names of values in logs
sinks     where values go
run       `flopsight run -- python train.py`
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    from flopsight.errors import MissingCapability

    raise MissingCapability("A meter needs torch, which is not installed; pip install 'flopsight[torch]'.") from error

from flopsight.meter.meter import Meter
from flopsight.meter.report import NAMES, MeterReport

__all__ = ["NAMES", "Meter", "MeterReport"]
