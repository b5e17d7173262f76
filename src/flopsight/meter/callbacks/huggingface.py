"""transformers.Trainer: values in its own logs, a report at the end."""

from __future__ import annotations

import weakref
from typing import Any

from flopsight.errors import MissingCapability
from flopsight.meter.callbacks.guard import Guard
from flopsight.meter.callbacks.optimizers import unwrapped
from flopsight.meter.meter import Meter
from flopsight.meter.report import MeterReport
from flopsight.meter.run.start import say

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise MissingCapability(
        "Metering a transformers.Trainer needs transformers, which is not installed; pip install 'flopsight[hf]'."
    ) from error


def metered(trainer: Any, *, on: str | None = None, every: int = 10, quiet: bool = False) -> MeterCallback:
    """Meter a transformers.Trainer; call it before `trainer.train()`.

    The callback becomes the first one, so that the Trainer's loggers, which are callbacks too, find its values in the
    logs; and it meters the module that the Trainer calls, compiled or wrapped in DDP or FSDP. Arguments are those of
    MeterCallback.
    """
    callback = MeterCallback(on=on, every=every, quiet=quiet)
    callback.trainer = weakref.ref(trainer)
    trainer.callback_handler.callbacks.insert(0, callback)
    return callback


class MeterCallback(TrainerCallback):
    """A callback that meters training; better given by `metered(trainer)`.

    In `Trainer(callbacks=[MeterCallback()])` it comes after the loggers, so that values reach only `log_history` and
    the console, and the model inside of torch.compile cannot be noticed.

    on, every   as of flopsight.Meter; values are over the last `every` ordinary steps
    quiet       no report on stderr when training ends
    meter       the Meter of the present or last `train()`
    report      its MeterReport, once training has ended

    Values are added where the Trainer logs its loss. TensorBoard and W&B show all that the Trainer logs below `train/`.
    Evaluation is time outside of steps; batches of gradient accumulation are one step.
    """

    def __init__(self, on: str | None = None, every: int = 10, quiet: bool = False) -> None:
        self.meter: Meter | None = None
        self.report: MeterReport | None = None
        self.trainer: weakref.ref[Any] | None = None
        self._on, self._every, self._quiet = on, every, quiet
        self._guard = Guard(self._detach)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Model and optimizer are prepared: make the meter."""
        self._guard = Guard(self._detach)
        self._guard.run(self._begin, kwargs.get("model"), kwargs.get("optimizer"))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Add the values to the Trainer's."""
        self._guard.run(self._add, state, logs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take hooks back, and report."""
        self._guard.run(self._end, state.is_world_process_zero)

    def _begin(self, model: Any, optimizer: Any) -> None:
        self._detach()  # a Trainer that looks for a batch size that fits begins anew
        trainer = self.trainer() if self.trainer is not None else None
        called = model if trainer is None else trainer.model_wrapped
        self.meter = Meter(called, unwrapped(optimizer), on=self._on, every=self._every)

    def _add(self, state: Any, logs: Any) -> None:
        if self.meter is None or self.meter.failed or not logs or "loss" not in logs:
            return
        values = self.meter.last.values()
        logs.update(values)
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(values)

    def _end(self, first: bool) -> None:
        if self.meter is None:
            return
        self._detach()
        self.report = self.meter.report()
        if first and not self._quiet:
            say(str(self.report))

    def _detach(self) -> None:
        if self.meter is not None:
            self.meter.detach()
