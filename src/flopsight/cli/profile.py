"""`flopsight profile`: record a program with a profiler that is there, and read the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=())]


def profile(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    using: Annotated[Literal["auto", "torch", "nsys", "ncu", "rocprofv3", "perf"], Parameter(name="--with")] = "auto",
    skip: int = 3, steps: int = 3, whole: Flag = False, out: Path | None = None, model: str | None = None,
    on: str | None = None, json: Flag = False,
) -> None:  # fmt: skip
    """Run a command under a profiler, with the flags that a reading needs, and say what it achieved.

    Write the command behind two dashes: `flopsight profile -- python train.py`. Its output stays its own. A Python
    program is recorded with torch.profiler: a few steps of the first model it calls, with shapes and modules.

    Parameters
    ----------
    command
        The program and its arguments.
    using
        The profiler; by default torch.profiler for a Python program, else the first that is on the path.
    skip
        Steps to pass over first.
    steps
        Steps to record.
    whole
        Record everything from the first call of a model to the end.
    out
        Keep the files in this folder; by default a new one in the current folder.
    model
        Set the prediction for each part of this model beside what it achieved.
    on
        The chip whose peaks divide; by default the device in the trace, or this machine's processor.
    json
        Print JSON (its schema: `flopsight schema trace`).
    """
    import sys

    from flopsight import api
    from flopsight.cli.output import show

    found, code = api.profile(command, using=using, skip=skip, steps=steps, whole=whole, out=out, model=model, on=on)
    show(found, as_json=json)
    if code:
        sys.exit(code)
