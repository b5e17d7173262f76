"""From a calibration to the answer of `calibrate`."""

from __future__ import annotations

from pathlib import Path

from flopsight.calibrate.run import Calibration, Point
from flopsight.errors import UsageError
from flopsight.facts import Unknown
from flopsight.predict import corrections
from flopsight.report.calibrate import CalibrateResult, PointRow


def build(found: Calibration) -> CalibrateResult:
    """Everything measured."""
    chip = None if isinstance(found.chip, Unknown) else found.chip
    on = chip or "CHIP"
    return CalibrateResult(
        device=found.name, chip=chip, why_no_chip=found.chip.why if isinstance(found.chip, Unknown) else "",
        torch=found.torch, date=found.date, points=[_point(p) for p in found.points], corrections=found.corrections,
        errors=found.errors, next=f"flopsight predict llama-3.1-8b --on {on} --phase decode",
    )  # fmt: skip


def _point(p: Point) -> PointRow:
    case, seconds = p.timed.case, p.timed.seconds
    return PointRow(
        room=case.room, dtype=case.dtype, shape=case.shape, seconds=seconds, spread=p.timed.spread,
        repeats=p.timed.repeats, flops_per_s=case.flops / seconds if seconds and case.flops else None,
        bytes_per_s=case.moved / seconds if seconds and case.moved else None, predicted_seconds=p.predicted,
        ratio=p.ratio, why=p.timed.why,
    )  # fmt: skip


def keep(found: CalibrateResult, *, save: bool, out: str | Path | None) -> CalibrateResult:
    """Write the result where it was asked for, each file aside first; UsageError where that cannot be done."""
    if save and (found.chip is None or not found.corrections):
        raise UsageError(f"Nothing can be saved: {found.why_no_chip or 'too few kernels ran for a correction'}.")
    if save and found.chip:
        found.saved = str(corrections.save(found.chip, found.to_json(indent=1).encode()))
    if out is not None:
        corrections.write(Path(out), found.to_json(indent=1).encode())
    return found
