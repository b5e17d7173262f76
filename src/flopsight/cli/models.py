"""`flopsight models`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def models(*, json: Annotated[bool, Parameter(negative=())] = False) -> None:
    """List the bundled models, and the model types whose config.json is understood.

    Parameters
    ----------
    json
        Print JSON.
    """
    from flopsight import api
    from flopsight.cli.output import show

    show(api.models(), as_json=json)
