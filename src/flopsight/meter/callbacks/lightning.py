"""Lightning: a callback made from whichever of its two packages the program uses.

trainer = Trainer(callbacks=[meter_callback()])
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

import torch

from flopsight.errors import MissingCapability
from flopsight.meter.callbacks.attached import Attached
from flopsight.meter.callbacks.optimizers import unwrapped
from flopsight.meter.run.find import FirstCall, holds_any
from flopsight.meter.sinks.loggers import numbers
from flopsight.meter.sinks.sink import Values

PACKAGES: Final = ("lightning.pytorch", "pytorch_lightning")


def meter_callback(*, on: str | None = None, every: int = 10, quiet: bool = False) -> Any:
    """A Lightning callback that meters `trainer.fit`; afterwards `callback.attached.report`.

    on, every   as of flopsight.Meter
    quiet       no report on stderr when training ends

    Lightning calls `training_step`, not the module: the module that is metered is the first one that is called there
    and holds parameters of the first optimizer, whose steps end steps. Values go to all loggers of the trainer, with
    its `global_step`. Validation is time outside of steps; accumulated batches are one step. A `training_step` that is
    compiled as a whole calls no module, and nothing is metered.

    Raises MissingCapability where neither lightning nor pytorch_lightning is installed.
    """

    class MeterCallback(_package().Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.attached = Attached(on, every, quiet)
            self._first = FirstCall(torch.nn.Module, lambda module: None)

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.attached.guard.run(self._look, trainer, pl_module)

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            self._first.stop()
            self.attached.guard.run(self.attached.end, trainer.is_global_zero)

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            self._first.stop()
            self.attached.guard.run(self.attached.detach)

        def _look(self, trainer: Any, pl_module: Any) -> None:
            optimizer = unwrapped(trainer.optimizers[0])
            write = _writer(trainer)

            def found(module: Any) -> None:
                self.attached.guard.run(self.attached.begin, module, optimizer, write)

            self._first = FirstCall(torch.nn.Module, found)
            self._first.wait(_wanted(trainer.strategy.model, pl_module, holds_any(optimizer)))

    return MeterCallback()


def _wanted(wrapper: Any, pl_module: Any, mine: Any) -> Any:
    """Whether a module may be the model: under DDP the way into `training_step` leads through both of the two others.

    These are called with the batch and its number, and what they are called with is no shape of the model's.
    """
    if wrapper is pl_module:
        return mine
    return lambda module: module is not wrapper and module is not pl_module and mine(module)


def _writer(trainer: Any) -> Any:
    def write(values: Values, step: int) -> None:
        for logger in trainer.loggers:
            logger.log_metrics(numbers(values), step=trainer.global_step)

    return write


def _package() -> Any:
    """The package of the program: that which is imported, else that which can be."""
    for name in PACKAGES:
        if (found := sys.modules.get(name)) is not None:
            return found
    for name in PACKAGES:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise MissingCapability(
        "Metering a Lightning Trainer needs lightning, which is not installed; pip install lightning."
    )
