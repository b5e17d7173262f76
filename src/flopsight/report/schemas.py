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


def _models() -> Any:
    from flopsight.report.models import ModelsResult

    return ModelsResult


RESULTS: dict[str, Callable[[], Any]] = {"count": _count, "mfu": _mfu, "models": _models}
