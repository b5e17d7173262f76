"""`flopsight trace`: what a recorded program achieved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

app = App(name="trace", help="Say what a profile or trace achieved, and where the rest went.", help_format="plaintext")

Flag = Annotated[bool, Parameter(negative=())]


@app.default
def trace(
    *files: Path, model: str | None = None, on: str | None = None, step: str | None = None,
    basis: Literal["datasheet", "clock", "measured"] = "datasheet", format: str | None = None,
    max_size: int | None = None, json: Flag = False,
) -> None:  # fmt: skip
    """Say what recorded programs achieved, by whom, and where the rest of their time went.

    Read are traces of the PyTorch profiler, Nsight Systems and Compute, ROCm, XLA, and exports of hardware counters;
    gzip, xz, tar, zip and folders of them. Files are told by their content.

    Parameters
    ----------
    files
        One file or many; several ranks of a job are set side by side.
    model
        Set the prediction for each part of this model beside what it achieved.
    on
        The chip whose peaks divide, for files that do not name theirs.
    step
        A step's number or name; by default every step that the file marks, and "all" says so.
    basis
        Which peak divides: the data sheet's, that of the highest clock, or the highest ever measured.
    format
        The name of the reader, where the content does not tell.
    max_size
        Bytes that a file may unpack to, where the default refuses it.
    json
        Print JSON (its schema: `flopsight schema trace`).
    """
    from flopsight import api
    from flopsight.cli.output import show
    from flopsight.cli.progress import bar

    with bar("reading") as progress:
        found = api.trace(
            *files, model=model, on=on, step=step, basis=basis, fmt=format, max_size=max_size, progress=progress
        )
    show(found, as_json=json)


@app.command
def diff(a: Path, b: Path, *, on: str | None = None, step: str | None = None, json: Flag = False) -> None:
    """Say what moved between two traces, by kind of time and by op, and whether it is more than noise.

    Parameters
    ----------
    a
        The trace before.
    b
        The trace after, of this machine or another.
    on
        The chip whose peaks divide, for files that do not name theirs.
    step
        A step's number or name; by default the mean of all of them.
    json
        Print JSON (its schema: `flopsight schema 'trace diff'`).
    """
    from flopsight import api
    from flopsight.cli.output import show

    show(api.trace_diff(a, b, on=on, step=step), as_json=json)
