"""The sink for what the user hands over, told by the class's own module, so that no logger is imported to look."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flopsight.errors import UsageError
from flopsight.meter.sinks.function import FunctionSink
from flopsight.meter.sinks.lines import JsonLines
from flopsight.meter.sinks.loggers import accelerator, lightning_logger, mlflow_module, summary_writer, wandb_run
from flopsight.meter.sinks.prometheus import PrometheusSink
from flopsight.meter.sinks.sink import Sink

OURS: Final = (FunctionSink, JsonLines, PrometheusSink)
LOGGERS: Final[dict[tuple[str, str], Callable[[Any], Sink]]] = {
    ("torch.utils.tensorboard", "SummaryWriter"): summary_writer,
    ("tensorboardX", "SummaryWriter"): summary_writer,
    ("wandb", "Run"): wandb_run,
    ("accelerate", "Accelerator"): accelerator,
    ("lightning", "Logger"): lightning_logger,
    ("pytorch_lightning", "Logger"): lightning_logger,
}
"""By (start of a module's name, name of a class), of the target's class or of one that it is made from."""


def sink_for(target: Any) -> Sink:
    """The sink for a path, a function or a logger; UsageError for what is none of them."""
    if isinstance(target, OURS):
        return target
    if isinstance(target, (str, os.PathLike)):
        return JsonLines(Path(target))
    if type(target).__name__ == "module" and target.__name__ == "mlflow":
        return mlflow_module(target)
    for kind in type(target).__mro__:
        for (module, name), make in LOGGERS.items():
            if kind.__name__ == name and f"{kind.__module__}.".startswith(f"{module}."):
                return make(target)
    return _other(target)


def _other(target: Any) -> Sink:
    write = getattr(type(target), "write", None)
    if callable(write) and not isinstance(target, type):
        return target  # type: ignore[no-any-return]  # a sink of the user's own
    if callable(target):
        return FunctionSink(target)
    raise UsageError(
        f"Values go to a path, a function of (values, step), a TensorBoard writer, a W&B run, mlflow, a Lightning "
        f"logger or an Accelerator; got a {type(target).__name__}."
    )
