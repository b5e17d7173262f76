"""Files -> readings -> result: one process a rank where there are several."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from flopsight.achieved.graphs import captures
from flopsight.achieved.peaks import Basis, Roofs, roofs
from flopsight.achieved.reading import Reading, reading_of
from flopsight.errors import UsageError
from flopsight.facts import Unknown
from flopsight.readers import Limits, read
from flopsight.report.build_trace import build
from flopsight.report.build_trace_diff import build_diff
from flopsight.report.trace import TraceResult
from flopsight.report.trace_diff import TraceDiffResult

Progress = Callable[[int, int], None]
BASES: Final = ("datasheet", "clock", "measured")
LARGE: Final = 8 << 20
"""Bytes of all files above which starting processes pays."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked; see `flopsight.api.trace`."""

    files: Sequence[str | Path]
    model: str | Mapping[str, Any] | None = None
    on: str | None = None
    step: str | None = None
    basis: str = "datasheet"
    fmt: str | None = None
    max_size: int | None = None
    here: bool = False
    hardware_files: tuple[str | Path, ...] = ()


def run(wish: Wish, progress: Progress | None = None) -> TraceResult:
    """Read every file and say what it achieved."""
    from flopsight.models.load import load

    basis = _checked(wish)
    model = load(wish.model) if wish.model is not None else None
    readings = readings_of(wish, progress)
    return build(readings, [_roofs(one, wish, basis) for one in readings], model)


def _roofs(reading: Reading, wish: Wish, basis: Basis) -> Roofs:
    """The peaks of a reading's device; of this machine's processor where the program ran here, on no device."""
    if wish.here and wish.on is None and not reading.device_side:
        try:
            return roofs(None, "here", "measured", wish.hardware_files)
        except UsageError as error:
            return Roofs(Unknown(f"the peak of this processor is not known: {error}"), "measured", given=True)
    return roofs(reading.devices[0] if reading.devices else None, wish.on, basis, wish.hardware_files)


def run_diff(a: str | Path, b: str | Path, wish: Wish) -> TraceDiffResult:
    """Compare the first trace of two files. Raises UsageError for a file with several: compare them one by one."""
    basis = _checked(wish)
    sides = [readings_of(replace(wish, files=(path,))) for path in (a, b)]
    for path, side in zip((a, b), sides, strict=True):
        if len(side) > 1:
            raise UsageError(f"{path} holds {len(side)} traces; unpack it and compare two of them.")
    first, second = (side[0] for side in sides)
    peaks = [
        roofs(one.devices[0] if one.devices else None, wish.on, basis, wish.hardware_files) for one in (first, second)
    ]
    return build_diff(first, second, peaks)


def _checked(wish: Wish) -> Basis:
    if not wish.files:
        raise UsageError("Name at least one file, archive or folder.")
    if wish.basis not in BASES:
        raise UsageError(f"The basis is one of {', '.join(BASES)}; got {wish.basis!r}.")
    return wish.basis  # type: ignore[return-value]


def readings_of(wish: Wish, progress: Progress | None = None, pool: Executor | None = None) -> list[Reading]:
    """One reading a trace, in the order of the files; each file is one task, for any executor.

    A file that captured graphs which another one replays is read again beside it, and is no rank of its own.
    """
    limits = Limits(size=wish.max_size, ratio=1 << 30) if wish.max_size else Limits()
    tasks = [Task(str(path), limits, wish.fmt, wish.step) for path in wish.files]
    if pool is None and _worth(wish.files):
        workers = min(len(tasks), os.cpu_count() or 1)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as own:
            return readings_of(wish, progress, own)
    parts: list[list[Reading]] = []
    for part in pool.map(read_one, tasks) if pool else map(read_one, tasks):
        parts.append(part)
        if progress:
            progress(len(parts), len(tasks))
    return _with_captures(tasks, parts)


def _with_captures(tasks: Sequence[Task], parts: Sequence[list[Reading]]) -> list[Reading]:
    captured = tuple(t.path for t, part in zip(tasks, parts, strict=True) if any(one.captured for one in part))
    replaying = [any(one.replayed for one in part) for part in parts]
    if not captured or not any(replaying):
        return [one for part in parts for one in part]
    found: list[Reading] = []
    for task, part, replays in zip(tasks, parts, replaying, strict=True):
        if replays:
            found += read_one(replace(task, captures=captured))
        elif task.path not in captured:
            found += part
    return found


def _worth(files: Sequence[str | Path]) -> bool:
    sizes = [Path(f).stat().st_size for f in files if Path(f).is_file()]
    return len(sizes) > 1 and sum(sizes) > LARGE


@dataclass(frozen=True, slots=True)
class Task:
    """What it takes to read one file, anywhere."""

    path: str
    limits: Limits
    fmt: str | None = None
    step: str | None = None
    captures: tuple[str, ...] = ()


def read_one(task: Task) -> list[Reading]:
    """The readings of one file: a pure function of its content and of the captures named."""
    others = [graph for path in task.captures for one in read(path, task.limits) for graph in captures(one)]
    return [reading_of(one, task.step, others) for one in read(task.path, task.limits, task.fmt)]
