"""How a command prints: a result as text that fits the terminal, or as JSON; warnings on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flopsight.report.value import Result


def show(result: Result, *, as_json: bool) -> None:
    """Print a result to stdout."""
    if as_json:
        sys.stdout.write(result.to_json(indent=2) + "\n")
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=130)
    console.print(result)
