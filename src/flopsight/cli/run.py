"""`flopsight run`: meter a program that does not know of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=())]


def run(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    every: int = 10,
    on: str | None = None,
    log: Path | None = None,
    quiet: Flag = False,
) -> None:
    """Run a command, and say what utilization its training or inference loop reaches, without a change to it.

    Write the command behind two dashes: `flopsight run -- python train.py --lr 3e-4`, or
    `flopsight run -- torchrun --nproc-per-node 8 train.py`. Its results, output and exit code stay its own; lines of
    the meter go to stderr, and a report at its end. The first module with parameters that is called from outside of
    any other is taken for the model, the optimizer that steps it ends a step.

    Parameters
    ----------
    command
        The program and its arguments.
    every
        Steps between two lines.
    on
        The chip whose peak divides; by default the one the parameters are on.
    log
        Append one JSON object a line to this file.
    quiet
        Only the report at the end.
    """
    from flopsight.meter.run.launch import RunOptions, launch

    launch(command, RunOptions(every, on, None if log is None else str(log.absolute()), quiet))
