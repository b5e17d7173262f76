"""Measure a device case by case, put the predictions beside, and turn what remains into corrections."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean, median
from typing import Final

from flopsight.calibrate.cases import Case, cases
from flopsight.calibrate.timing import Bench, Timed
from flopsight.facts import Unknown
from flopsight.hardware.catalog import match_driver
from flopsight.hardware.chip import Chip
from flopsight.hardware.detect import cpu_here
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels.attention import Heads, attention_seconds
from flopsight.predict.kernels.gemm import gemm_seconds
from flopsight.predict.kernels.vector import vector_seconds

ROOMS: Final = {"attention_prefill": "attention", "attention_decode": "attention", "norm": "vector", "copy": "vector"}
LEAST: Final = 4
"""Points a correction needs."""


@dataclass(frozen=True, slots=True)
class Point:
    """A case with what was measured and what was predicted before; None where there is none."""

    timed: Timed
    predicted: float | None

    @property
    def ratio(self) -> float | None:
        """Measured over predicted."""
        if self.timed.seconds is None or not self.predicted:
            return None
        return self.timed.seconds / self.predicted


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a device measured.

    name, chip     the driver's word, and the catalogue's id or why none
    points         every case
    corrections    measured / predicted by kind of kernel and format, a geometric mean over every second case
    errors         median |predicted · correction / measured - 1| over the other cases
    torch, date    with what and when
    """

    name: str
    chip: str | Unknown
    points: tuple[Point, ...]
    corrections: dict[str, float]
    errors: dict[str, float]
    torch: str
    date: str


def calibrate(
    device: str = "cpu", *, quick: bool = False, progress: Callable[[int, int], None] = lambda done, total: None
) -> Calibration:
    """Measure one torch device; MissingCapability without torch, UsageError for a device it cannot use."""
    bench = Bench(device)
    chip = _chip(bench)
    known = device_of(chip) if isinstance(chip, Chip) else None
    asked = cases(bench.dtypes(), quick=quick)
    points = []
    for number, case in enumerate(asked):
        progress(number, len(asked))
        points.append(Point(bench.time(case), None if known is None else _predicted(known, case)))
    corrections, errors = corrected(points)
    return Calibration(
        bench.name, chip.id if isinstance(chip, Chip) else chip, tuple(points), corrections, errors,
        str(bench.torch.__version__), datetime.now(UTC).strftime("%Y-%m-%d"),
    )  # fmt: skip


def _chip(bench: Bench) -> Chip | Unknown:
    """The catalogue's chip, or the user's own record of this processor."""
    if bench.cuda:
        return match_driver("torch", bench.name)
    own = cpu_here().match if bench.name == "cpu" else None
    if isinstance(own, Chip):
        return own
    return Unknown(f"{bench.name} is no chip of the catalogue; `flopsight ceiling --save` adds a processor")


def _predicted(device: Device, case: Case) -> float | None:
    s = case.shape
    if case.room == "gemm":
        bits = {"fp8": 8.0, "fp32": 32.0}.get(case.dtype, 16.0)
        return float(gemm_seconds(device, s["m"], s["n"], s["k"], compute=case.dtype, weight_bits=bits))
    if case.room.startswith("attention"):
        heads = Heads(s["heads"], s["kv_heads"], s["width"], s["width"])
        queries = s["length"] if case.room == "attention_prefill" else 1
        cache = 4 * s["batch"] * s["kv_heads"] * s["width"] * s["length"]
        return float(
            attention_seconds(
                device, heads, sequences=s["batch"], queries=queries, flops=case.flops, cache_bytes=cache,
                other_bytes=4 * s["batch"] * s["heads"] * s["width"] * queries,
            )
        )  # fmt: skip
    return float(vector_seconds(device, case.moved)) if case.moved else None


def corrected(points: list[Point]) -> tuple[dict[str, float], dict[str, float]]:
    """Corrections from every second case of a kind, and their error on the others."""
    groups: dict[str, list[float]] = {}
    for point in points:
        if point.ratio:
            groups.setdefault(key(point.timed.case), []).append(point.ratio)
    corrections, errors = {}, {}
    for name, ratios in groups.items():
        if len(ratios) < LEAST:
            continue
        corrections[name] = math.exp(fmean(math.log(r) for r in ratios[::2]))
        errors[name] = median(abs(corrections[name] / r - 1) for r in ratios[1::2])
    return corrections, errors


def key(case: Case) -> str:
    """The name a correction goes by: gemm.bf16, attention, vector."""
    return f"gemm.{case.dtype}" if case.room == "gemm" else ROOMS.get(case.room, case.room)
