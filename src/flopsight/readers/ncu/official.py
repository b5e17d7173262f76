"""NVIDIA's own reader of reports (PyPI: ncu-report), where it is installed and ours finds no kernel."""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flopsight.readers.disk import on_disk
from flopsight.readers.limits import Limits
from flopsight.readers.ncu.launches import Launches, Three
from flopsight.readers.ncu.units import base


def read(path: Path, limits: Limits) -> Launches | None:
    """Kernels and metrics as that package says them; None where it is not installed or cannot read the file."""
    if find_spec("ncu_report") is None:
        return None
    into = Launches()
    try:
        with on_disk(path, limits) as place:
            report = import_module("ncu_report").load_report(str(place))
        for number in range(report.num_ranges()):
            _range(report.range_by_idx(number), into)
    except Exception:  # noqa: BLE001 - a foreign binary module, whose errors are not documented
        return None
    into.notes["The report was read by NVIDIA's ncu_report."] = None
    return into if len(into) else None


def _range(found: Any, into: Launches) -> None:
    for number in range(found.num_actions()):
        action = found.action_by_idx(number)
        stream, device = _number(action, "launch__stream_id"), _number(action, "launch__device_id")
        at = into.add(action.name(), _three(action, "grid"), _three(action, "block"), stream, max(device, 0))
        for name in action.metric_names():
            _metric(action.metric_by_name(name), name, at, into)


def _three(action: Any, what: str) -> Three:
    x, y, z = (_number(action, f"launch__{what}_dim_{axis}") for axis in "xyz")
    return x, y, z


def _number(action: Any, name: str) -> int:
    metric = action.metric_by_name(name)
    value = None if metric is None else metric.value()
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 2**31 else -1


def _metric(metric: Any, name: str, at: int, into: Launches) -> None:
    value = metric.value()
    if isinstance(value, (int, float)) and math.isfinite(value):
        factor, unit = base(metric.unit() or "")
        into.put(at, name, unit, float(value) * factor)
    elif isinstance(value, str) and name.startswith("device__attribute_"):
        into.know(into.devices[at], name.removeprefix("device__attribute_"), value)
