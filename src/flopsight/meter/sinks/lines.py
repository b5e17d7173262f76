"""A file with one JSON object a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from flopsight.meter.sinks.sink import Values


@dataclass(frozen=True, slots=True)
class JsonLines:
    """Appends {"step": ..., name: value, ...}; each line is one write, so that a killed program leaves whole lines."""

    path: Path

    def write(self, values: Values, step: int) -> None:
        """Append a line; OSError where the file cannot be written."""
        line = msgspec.json.encode({"step": step, **values}) + b"\n"
        with self.path.open("ab", buffering=0) as file:
            file.write(line)
