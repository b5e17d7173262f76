"""`flopsight counters`: hardware counters alone, and what they say was done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=())]


def counters(*files: Path, on: str | None = None, format: str | None = None, json: Flag = False) -> None:
    """Say what hardware counters tell: FLOPs, bytes, busy cycles, with the formula and how far each can be trusted.

    Read are exports of Nsight Compute, rocprofv3 and the ROCm compute profiler, perf stat, likwid, PAPI, and text of
    DCGM, AMD's and Intel's exporters.

    Parameters
    ----------
    files
        One file or many.
    on
        The chip whose peaks divide, for files that do not name theirs.
    format
        The name of the reader, where the content does not tell.
    json
        Print JSON (its schema: `flopsight schema trace`).
    """
    import sys

    from flopsight import api
    from flopsight.cli.output import show

    found = api.trace(*files, on=on, fmt=format)
    if json:
        show(found, as_json=True)
        return
    from rich.console import Console

    from flopsight.report.draw_counters import draw

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 130)
    for one in draw(found):
        console.print(one)
