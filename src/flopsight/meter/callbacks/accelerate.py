"""Loops around an accelerate.Accelerator."""

from __future__ import annotations

from typing import Any

from flopsight.meter.callbacks.optimizers import unwrapped
from flopsight.meter.meter import Meter


def metered(
    accelerator: Any, model: Any, optimizer: Any, *, on: str | None = None, every: int = 10, log: Any = None
) -> Meter:
    """A Meter on what `accelerator.prepare` gave back; its values go to all trackers of the accelerator.

        model, optimizer, data = accelerator.prepare(model, optimizer, data)
        meter = metered(accelerator, model, optimizer)

    on, every   as of flopsight.Meter
    log         further places for values, as of flopsight.Meter

    The batches of `accelerator.accumulate` are one step, since the optimizer inside is the one that is watched. Values
    are logged with the number of the optimizer's step. Raises UsageError for a `log` that is no place for values.
    """
    further = [] if log is None else list(log) if isinstance(log, (list, tuple)) else [log]
    return Meter(model, unwrapped(optimizer), on=on, every=every, log=[accelerator, *further])
