"""The export's table of texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from flopsight.readers.sqlite import Database
from flopsight.trace import Names


class Strings:
    """{id: text}."""

    def __init__(self, db: Database) -> None:
        self._texts: dict[int, str] = {}
        if db.has("StringIds"):
            ids = db.columns("StringIds", ("id",))["id"].tolist()
            self._texts = {i: t for i, t in zip(ids, db.texts("StringIds", "value"), strict=False) if t is not None}

    def get(self, number: int, usual: str = "") -> str:
        """The text of a number."""
        return self._texts.get(number, usual)

    def renamed(self, numbers: Any, names: Names, usual: str) -> Any:
        """Numbers of the export as numbers of the trace."""
        distinct, place = np.unique(numbers, return_inverse=True)
        return names.of(self.get(n, usual) for n in distinct.tolist())[place]
