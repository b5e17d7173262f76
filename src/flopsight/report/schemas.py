"""Which result each command prints as JSON; loaded one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _count() -> Any:
    from flopsight.report.count import CountResult

    return CountResult


def _mfu() -> Any:
    from flopsight.report.mfu import MfuResult

    return MfuResult


def _hardware() -> Any:
    from flopsight.report.hardware import HardwareResult

    return HardwareResult


def _models() -> Any:
    from flopsight.report.models import ModelsResult

    return ModelsResult


def _validate() -> Any:
    from flopsight.report.validate import ValidateResult

    return ValidateResult


def _bench() -> Any:
    from flopsight.report.bench import BenchResult

    return BenchResult


def _calibrate() -> Any:
    from flopsight.report.calibrate import CalibrateResult

    return CalibrateResult


def _can() -> Any:
    from flopsight.report.can import CanResult

    return CanResult


def _ceiling() -> Any:
    from flopsight.report.ceiling import CeilingResult

    return CeilingResult


def _predict() -> Any:
    from flopsight.report.predict import PredictResult

    return PredictResult


def _plan() -> Any:
    from flopsight.report.plan import PlanResult

    return PlanResult


def _trace() -> Any:
    from flopsight.report.trace import TraceResult

    return TraceResult


def _trace_diff() -> Any:
    from flopsight.report.trace_diff import TraceDiffResult

    return TraceDiffResult


RESULTS: dict[str, Callable[[], Any]] = {
    "bench": _bench,
    "calibrate": _calibrate,
    "can": _can,
    "ceiling": _ceiling,
    "count": _count,
    "mfu": _mfu,
    "hardware": _hardware,
    "models": _models,
    "plan": _plan,
    "predict": _predict,
    "trace": _trace,
    "trace diff": _trace_diff,
    "validate": _validate,
}
