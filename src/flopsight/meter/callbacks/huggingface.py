"""transformers.Trainer: values in its own logs, a report at the end."""

from __future__ import annotations

import weakref
from typing import Any

from flopsight.errors import MissingCapability
from flopsight.meter.callbacks.attached import Attached
from flopsight.meter.callbacks.optimizers import unwrapped
from flopsight.meter.meter import Meter
from flopsight.meter.report import MeterReport

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

    Values are added where the Trainer logs its loss. TensorBoard and W&B show all that the Trainer logs below `train/`.
    Evaluation is time outside of steps; batches of gradient accumulation are one step.
    """

    def __init__(self, on: str | None = None, every: int = 10, quiet: bool = False) -> None:
        self.trainer: weakref.ref[Any] | None = None
        self._attached = Attached(on, every, quiet)

    @property
    def meter(self) -> Meter | None:
        """The Meter of the present or last `train()`."""
        return self._attached.meter

    @property
    def report(self) -> MeterReport | None:
        """Its report, once training has ended."""
        return self._attached.report

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Model and optimizer are prepared: make the meter."""
        self._attached.guard.run(self._begin, kwargs.get("model"), kwargs.get("optimizer"))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Add the values to the Trainer's."""
        self._attached.guard.run(self._add, state, logs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take hooks back, and report."""
        self._attached.guard.run(self._attached.end, state.is_world_process_zero)

    def _begin(self, model: Any, optimizer: Any) -> None:
        trainer = self.trainer() if self.trainer is not None else None
        self._attached.begin(model if trainer is None else trainer.model_wrapped, unwrapped(optimizer))

    def _add(self, state: Any, logs: Any) -> None:
        if self.meter is None or self.meter.failed or not logs or "loss" not in logs:
            return
        values = self.meter.last.values()
        logs.update(values)
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(values)
