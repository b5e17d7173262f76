"""What a reader of a scrape must be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from flopsight.trace import Series

RAN: Final = frozenset(("DCGM_FI_DEV_GPU_UTIL", "gpu_gfx_activity", "gpu_usage"))
"""Shares of time, in per cent, in which anything ran at all."""
WORKED: Final = {
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": "its compute engine worked", "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO":
    "its compute engine worked", "DCGM_FI_PROF_SM_ACTIVE": "an SM had work", "DCGM_FI_PROF_SM_UTIL_RATIO":
    "an SM had work", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": "its tensor cores worked", "DCGM_FI_PROF_TENSOR_UTIL_RATIO":
    "its tensor cores worked",
}  # fmt: skip
DEFAULT: Final = ("DCGM_FI_PROF_SM_ACTIVE", "DCGM_FI_PROF_SM_UTIL_RATIO")
TENSOR: Final = ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_TENSOR_UTIL_RATIO")


MOST: Final = 8
"""Devices that are named; of more only the number is said."""


def remarks(series: Sequence[Series]) -> tuple[str, ...]:
    """Sentences for the report, each once."""
    return (*_few(_ran(series), "devices"), *_wanted(series), *_few(_blank(series), "metrics"))


def _few(sentences: Iterator[str], what: str) -> Iterator[str]:
    found = list(dict.fromkeys(sentences))
    yield from found[:MOST]
    if len(found) > MOST:
        yield f"The same is to be said of {len(found) - MOST} more {what}."


def _ran(series: Sequence[Series]) -> Iterator[str]:
    """That "utilization" of the driver is none."""
    worked: dict[frozenset[tuple[str, str]], list[tuple[str, float]]] = {}
    for one in series:
        if one.name in WORKED and (mean := _mean(one)) is not None:
            worked.setdefault(frozenset(one.labels.items()), []).append((WORKED[one.name], mean))
    for one in series:
        if one.name in RAN and (mean := _mean(one)) is not None:
            beside = worked.get(frozenset(one.labels.items()), ())
            shares = "; ".join(f"{what} {100 * value:.1f} % of it" for what, value in beside)
            yield (
                f"{one.name}{_which(one)} = {mean:g} % is no utilization: it is the share of time in which a kernel "
                "was running, however little of the device it used"
                + (f"; in the same time {shares}." if shares else ".")
            )


def _wanted(series: Sequence[Series]) -> Iterator[str]:
    """That dcgm-exporter can say more."""
    names = {one.name for one in series}
    if any(name.startswith("DCGM_FI_") for name in names) and not names.intersection(DEFAULT):
        lines = f"{DEFAULT[0]} and {TENSOR[0]}" if names.isdisjoint(TENSOR) else DEFAULT[0]
        yield f"dcgm-exporter was not asked for {lines}: add to its list of metrics (dcgm-exporter -f FILE.csv)."


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
