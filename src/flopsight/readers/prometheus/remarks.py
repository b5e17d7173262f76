"""What a reader of a scrape must be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from flopsight.trace import Series

RAN: Final = {"DCGM_FI_DEV_GPU_UTIL": 100.0, "gpu_gfx_activity": 100.0, "gpu_usage": 100.0}
"""Shares of time in which anything ran at all, and what they are shares of."""
WORKED: Final = {
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": "its compute engine worked", "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO":
    "its compute engine worked", "DCGM_FI_PROF_SM_ACTIVE": "an SM had work", "DCGM_FI_PROF_SM_UTIL_RATIO":
    "an SM had work", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": "its tensor cores worked", "DCGM_FI_PROF_TENSOR_UTIL_RATIO":
    "its tensor cores worked",
}  # fmt: skip
DEFAULT: Final = ("DCGM_FI_PROF_SM_ACTIVE", "DCGM_FI_PROF_SM_UTIL_RATIO")
TENSOR: Final = ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_TENSOR_UTIL_RATIO")


def remarks(series: Sequence[Series]) -> tuple[str, ...]:
    """Sentences for the report, each device's once."""
    return tuple(dict.fromkeys((*_ran(series), *_wanted(series), *_blank(series))))


def _ran(series: Sequence[Series]) -> Iterator[str]:
    """That "utilization" of the driver is none."""
    for one in series:
        mean = _mean(one)
        if one.name in RAN and mean is not None:
            shares = "; ".join(f"{WORKED[x.name]} {100 * value:.1f} % of it" for x, value in _beside(one, series))
            yield (
                f"{one.name}{_which(one)} = {mean:g} % is no utilization: it is the share of time in which a kernel "
                "was running, however little of the device it used"
                + (f"; in the same time {shares}." if shares else ".")
            )


def _beside(one: Series, series: Sequence[Series]) -> Iterator[tuple[Series, float]]:
    for other in series:
        mean = _mean(other)
        if other.name in WORKED and other.labels == one.labels and mean is not None:
            yield other, mean


def _wanted(series: Sequence[Series]) -> Iterator[str]:
    """That dcgm-exporter can say more."""
    names = {one.name for one in series}
    if any(name.startswith("DCGM_FI_") for name in names) and not names.intersection(DEFAULT):
        lines = DEFAULT[0] if names.isdisjoint(TENSOR) is False else f"{DEFAULT[0]} and {TENSOR[0]}"
        yield f"dcgm-exporter was not asked for {lines}; add them to its metrics file (dcgm-exporter -f FILE.csv)."


def _blank(series: Sequence[Series]) -> Iterator[str]:
    for one in series:
        if one.why:
            yield f"{one.name}{_which(one)} is unknown, not 0: {one.why}."


def _mean(one: Series) -> float | None:
    known = one.values[~np.isnan(one.values)]
    return float(known.mean()) if len(known) else None


def _which(one: Series) -> str:
    labels = {name.lower(): value for name, value in one.labels.items()}
    number = labels.get("gpu", labels.get("gpu_id"))
    part = labels.get("gpu_i_id", "")
    return "" if number is None else f" of GPU {number}" + (f", slice {part}" if part else "")
