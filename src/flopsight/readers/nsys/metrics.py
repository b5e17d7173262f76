"""GPU metrics over time: percentages of peak that the hardware was sampled for."""

from __future__ import annotations

from typing import Final

import numpy as np

from flopsight.readers.sqlite import Database
from flopsight.trace import Series

VALUES: Final = "GPU_METRICS"
NAMES: Final = "TARGET_INFO_GPU_METRICS"


def series(db: Database) -> tuple[Series, ...]:
    """One series for each metric of each GPU; none where none were sampled."""
    if not db.count(VALUES):
        return ()
    there = db.names(VALUES)
    clock = "timestamp" if "timestamp" in there else "rawTimestamp"
    found = db.columns(VALUES, (clock, "typeId", "metricId", "value"))
    named = _names(db)
    keys = np.stack((found["typeId"], found["metricId"]), axis=1)
    distinct, place = np.unique(keys, axis=0, return_inverse=True)
    made = []
    for i, (kind, metric) in enumerate(distinct.tolist()):
        rows = place.reshape(-1) == i
        name, gpu = named.get((kind, metric), (f"metric {metric}", ""))
        unit = "%" if "%" in name else ""
        labels = {"gpu": gpu or str(kind & 0xFF)}
        values = found["value"][rows].astype(np.float64)
        made.append(Series(name, unit, found[clock][rows], np.where(values < 0, np.nan, values), labels))
    return tuple(made)


def _names(db: Database) -> dict[tuple[int, int], tuple[str, str]]:
    if not db.count(NAMES):
        return {}
    numbers = db.columns(NAMES, ("typeId", "metricId"))
    texts = db.texts(NAMES, "metricName") if "metricName" in db.names(NAMES) else []
    types = db.texts(NAMES, "typeName") if "typeName" in db.names(NAMES) else [""] * len(texts)
    return {
        (kind, metric): (text or "", str(gpu or ""))
        for kind, metric, text, gpu in zip(
            numbers["typeId"].tolist(), numbers["metricId"].tolist(), texts, types, strict=False
        )
    }
