"""Between a trainer and its meter: an exception is said once, and after that the trainer runs as without a meter."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flopsight.meter.warn import warn


class Guard:
    """Runs what a trainer's event asks for.

    aside    called once something was raised: takes hooks back
    failed   what was raised; empty while all is well
    """

    def __init__(self, aside: Callable[[], Any]) -> None:
        self._aside = aside
        self.failed = ""

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """The function's result; None where it, or one before it, has raised."""
        if self.failed:
            return None
        try:
            return function(*args)
        except Exception as error:  # noqa: BLE001 - the trainer goes on
            self.failed = f"{type(error).__name__}: {error}"
            with suppress(Exception):
                self._aside()
            warn(f"the meter stepped aside: {self.failed}")
            return None
