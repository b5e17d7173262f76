"""What a place for values can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Values = Mapping[str, float | int | str]


class Sink(Protocol):
    """A place for the values of one step."""

    def write(self, values: Values, step: int) -> None:
        """Take the values of a step; what it raises, the meter says once, and goes on without it."""
