"""Lines of a device that mark steps and programs, around the ops that ran in them."""

from __future__ import annotations

import numpy as np

from flopsight.readers.xplane.details import STEPS, line_name
from flopsight.readers.xplane.rows import Rows
from flopsight.readers.xplane.space import Events, Kinds, Line
from flopsight.readers.xplane.times import times
from flopsight.trace.columns import RANGE


def put_ranges(line: Line, events: Events, kinds: Kinds, device: int, rows: Rows) -> None:
    """Rows of kind range: a program by its name, a step as "Steps#7"."""
    good, start, end = times(line, events)
    before = "Steps#" if line_name(line.name) == STEPS else ""
    names = rows.named(kinds, kinds.rows(events.metadata), tuple(before + one for one in kinds.names))
    size = len(start)
    none, unknown = np.full(size, -1), np.full(size, np.nan)
    rows.leave("events of a device without a time", int((~good).sum()), "aggregated, or not whole")
    rows.device(
        start=start, end=end, device=np.full(size, device), stream=np.full(size, line.id), name=names[good],
        kind=np.full(size, RANGE), correlation=none, external=none, bytes=none, graph=none, collective=none,
        grid=np.full((size, 3), -1), block=np.full((size, 3), -1), flops=unknown, bytes_accessed=unknown,
        model_flops=unknown,
    )  # fmt: skip
