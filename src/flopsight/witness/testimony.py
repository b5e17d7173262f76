"""One quantity, from one source, with how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Trust = Literal["exact", "approximate", "upper bound"]
Quantity = Literal["flops", "dram_read", "dram_written", "l2_read", "l2_written", "active"]


@dataclass(frozen=True, slots=True, eq=False)
class Testimony:
    """What counters say of a quantity.

    witness   who says it, for a person: "SASS instruction counters"
    quantity  "flops" (executed), "dram_read" ... (bytes), "active" (share of cycles an engine worked, 0 to 1)
    engine    "matrix", "vector", "" for both or for neither
    dtype     number format, "" where the counters do not tell it
    values    by row of Trace.kernels; NaN where a counter was not collected there. One value for a whole run
    over      "kernel" or "run"
    trust     "exact" by the counter's definition; "approximate" or "upper bound", and `why` says of what
    formula   in the counters' own names
    labels    which device or slice, where a run has several
    """

    witness: str
    quantity: Quantity
    values: npt.NDArray[np.float64]
    formula: str
    trust: Trust = "exact"
    engine: str = ""
    dtype: str = ""
    over: Literal["kernel", "run"] = "kernel"
    why: str = ""
    labels: Any = ()

    @property
    def total(self) -> float | None:
        """Sum over what is known (of `active`: the mean); None where nothing is."""
        known = self.values[~np.isnan(self.values)]
        if not len(known):
            return None
        return float(known.mean() if self.quantity == "active" else known.sum())

    @property
    def share_known(self) -> float:
        """Rows with a value, of all rows."""
        return float((~np.isnan(self.values)).mean()) if len(self.values) else 0.0
