"""Exporters: shares of time in which parts of a device worked. Upper bounds, and never a count of FLOPs.

    active = value / (value that means all of the time)          mean over the scrapes of a file

A pipe is active in a cycle in which it holds any work, so FLOP/s <= active * peak: equality needs full tiles in every
one of these cycles. Metrics, names and reasons: exporter_fields.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from flopsight.trace import Series, Trace
from flopsight.witness.exporter_fields import AT_MOST, EVERY, EXCEEDED, Share
from flopsight.witness.testimony import Testimony


def testimonies(trace: Trace) -> tuple[Testimony, ...]:
    """One testimony a metric and device, or slice of a device."""
    return tuple(_all(trace))


def _all(trace: Trace) -> Iterator[Testimony]:
    for one in trace.series:
        share = EVERY.get(one.name)
        if share is not None and all(one.labels.get(name) == value for name, value in share.where):
            yield active(share, one)


def active(share: Share, series: Series) -> Testimony:
    """Mean share of time over the known values of a series; NaN where none is known, and why."""
    known = series.values[~np.isnan(series.values)] / share.whole
    mean = float(known.mean()) if len(known) else float("nan")
    whole = "" if share.whole == 1 else f" / {share.whole:g}"
    return Testimony(
        share.witness, "active", np.array([mean]), series.name + whole, "upper bound", share.engine, share.dtype,
        "run", _why(share, series, known), tuple(series.labels.items()),
    )  # fmt: skip


def _why(share: Share, series: Series, known: npt.NDArray[np.float64]) -> str:
    reasons = [share.why]
    if len(known) and known.max() > AT_MOST:
        reasons.append(EXCEEDED)
    if series.why:
        reasons.append(f"unknown in part or as a whole: {series.why}")
    return "; ".join(reasons)
