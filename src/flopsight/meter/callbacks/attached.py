"""The meter of a trainer, from where training begins to the report at its end."""

from __future__ import annotations

from typing import Any

from flopsight.meter.callbacks.guard import Guard
from flopsight.meter.meter import Meter
from flopsight.meter.report import MeterReport
from flopsight.meter.run.start import say


class Attached:
    """What callbacks share.

    on, every   as of flopsight.Meter
    quiet       no report on stderr when training ends
    meter       the Meter of the present or last training
    report      its MeterReport, once training has ended
    guard       everything that a trainer calls goes through `guard.run`
    """

    def __init__(self, on: str | None, every: int, quiet: bool) -> None:
        self._on, self._every, self._quiet = on, every, quiet
        self.meter: Meter | None = None
        self.report: MeterReport | None = None
        self.guard = Guard(self.detach)

    def begin(self, model: Any, optimizer: Any, log: Any = None) -> None:
        """Make the meter; one before it lets go, as where a trainer begins anew with smaller batches."""
        self.detach()
        self.meter = Meter(model, optimizer, on=self._on, every=self._every, log=log)

    def end(self, first: bool) -> None:
        """Take hooks back, and report from the first rank."""
        if self.meter is None:
            return
        self.detach()
        self.report = self.meter.report()
        if first and not self._quiet:
            say(str(self.report))

    def detach(self) -> None:
        """Take hooks back."""
        if self.meter is not None:
            self.meter.detach()
