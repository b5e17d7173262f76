"""`flopsight schema`."""

from __future__ import annotations

import sys


def schema(command: str) -> None:
    """Print the JSON Schema of what a command prints with --json.

    Parameters
    ----------
    command
        count, predict, can, plan, mfu, hardware, models, calibrate or validate.
    """
    import msgspec

    from flopsight import api

    data = msgspec.json.encode(api.schema(command))
    sys.stdout.write(msgspec.json.format(data, indent=2).decode() + "\n")
