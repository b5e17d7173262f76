"""`flopsight calibrate`: measure this machine's kernels and let predictions use what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=())]


def calibrate(
    *, device: str = "cuda:0", quick: Flag = False, save: Flag = False, out: Path | None = None, json: Flag = False
) -> None:
    """Measure products, attention, norms, copies, launches and graph replay on a device, beside the predictions.

    Needs torch. Nothing is kept unless you ask for it.

    Parameters
    ----------
    device
        A torch device: cuda:0, cpu, xpu, mps.
    quick
        A few small shapes only; seconds instead of minutes.
    save
        Keep the corrections for this chip, so that `predict`, `plan` and `can` use them.
    out
        Also write the measurements as JSON to this file.
    json
        Print JSON (its schema: `flopsight schema calibrate`).
    """
    from flopsight import api
    from flopsight.cli.output import show
    from flopsight.cli.progress import bar

    with bar("measuring") as progress:
        found = api.calibrate(device, quick=quick, save=save, out=out, progress=progress)
    show(found, as_json=json)
