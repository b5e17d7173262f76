"""`flopsight ceiling`: what this machine can do at best, measured."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=())]


def ceiling(
    *, device: str = "", quick: Flag = False, save: Flag = False, out: Path | None = None, json: Flag = False
) -> None:
    """Measure the fastest products by number format, bandwidth by working set, and what a launch costs.

    Under torchrun (`torchrun --nproc-per-node 8 -m flopsight ceiling`) it measures the collectives between the ranks.

    Parameters
    ----------
    device
        A torch device: cpu, cuda:0, xpu, mps. By default the accelerator that torch sees, else the processor.
    quick
        Fewer and shorter measurements: seconds instead of a minute or two.
    save
        Keep the ceilings as a chip record of yours: `--on here --basis measured` divides by them.
    out
        Also write the result as JSON to this file.
    json
        Print JSON (its schema: `flopsight schema ceiling`).
    """
    from flopsight import api
    from flopsight.cli.output import show
    from flopsight.cli.progress import bar

    # one bar, however many ranks
    with bar("measuring") if os.environ.get("RANK", "0") == "0" else nullcontext() as progress:
        found = api.ceiling(device, quick=quick, save=save, out=out, progress=progress)
    if found.rank == 0:
        show(found, as_json=json)
