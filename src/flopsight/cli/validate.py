"""`flopsight validate`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def validate(
    folder: str,
    *,
    check: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Run published measurements against our formulas and say how far apart they are, misses first.

    Parameters
    ----------
    folder
        A folder with *.jsonl files of measurements, one row a line.
    check
        Exit with 1 if a clean row is outside its tolerance.
    json
        Print JSON (its schema: `flopsight schema validate`).
    """
    from flopsight import api
    from flopsight.cli.output import show
    from flopsight.cli.progress import bar

    with bar("rows") as progress:
        result = api.validate(folder, progress=progress)
    show(result, as_json=json)
    return int(check and bool(result.misses()))
