"""Loggers that programs have already; values keep our names, words go only where words are taken."""

from __future__ import annotations

from typing import Any

from flopsight.meter.sinks.function import FunctionSink
from flopsight.meter.sinks.sink import Values


def numbers(values: Values) -> dict[str, float]:
    """The values that are numbers."""
    return {name: value for name, value in values.items() if not isinstance(value, str)}


def summary_writer(writer: Any) -> FunctionSink:
    """TensorBoard: a scalar each."""

    def write(values: Values, step: int) -> None:
        for name, value in numbers(values).items():
            writer.add_scalar(name, value, step)

    return FunctionSink(write)


def wandb_run(run: Any) -> FunctionSink:
    """Weights & Biases: into the present step of the run, which the program itself advances."""
    return FunctionSink(lambda values, step: run.log({**values, "flopsight/step": step}, commit=False))


def mlflow_module(mlflow: Any) -> FunctionSink:
    """MLflow: metrics of the active run."""
    return FunctionSink(lambda values, step: mlflow.log_metrics(numbers(values), step=step))


def lightning_logger(logger: Any) -> FunctionSink:
    """Lightning: whatever logger the trainer has."""
    return FunctionSink(lambda values, step: logger.log_metrics(numbers(values), step))


def accelerator(accelerator: Any) -> FunctionSink:
    """Accelerate: all trackers of the program."""
    return FunctionSink(lambda values, step: accelerator.log(numbers(values), step=step))
