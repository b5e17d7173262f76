"""Kernels and their counters, gathered from any page of Nsight Compute, as a Trace."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flopsight.readers.ncu.devices import ATTRIBUTE, KILO, USED, device
from flopsight.trace import Kernels, Metric, Names, Trace, Unread

Three = tuple[int, int, int]
Reals = npt.NDArray[np.float64]
UNKNOWN: Final[Three] = (-1, -1, -1)
MOST_TIMES: Final = 1_000_000
"""Launches that averages may stand for, in one file."""
MOST_CELLS: Final = 48_000_000
"""Values of all metrics and kernels together, as they are held (8 bytes each); a full report of 20,000 kernels."""
LONGEST: Final = 10**15
"""Nanoseconds; a kernel of more than eleven days is a damaged number."""
DURATIONS: Final = (
    "gpu__time_duration.sum", "gpu__time_duration.avg", "gpu__time_duration.max", "gpu__time_duration.min", "Duration",
)  # fmt: skip
"""Metrics that are a kernel's duration: over the one GPU that it ran on they are all the same."""
SEEN_CLOCKS: Final = (
    "smsp__cycles_elapsed.avg.per_second", "sm__cycles_elapsed.avg.per_second", "gpc__cycles_elapsed.avg.per_second",
    "SM Frequency",
)  # fmt: skip
NOTE: Final = (
    "Nsight Compute runs each kernel alone, again and again, and locks the GPU to its base clock unless "
    "--clock-control none is given{said}: durations and percentages of peak are of that clock{seen}, not of the boost "
    "clock."
)


@dataclass
class Launches:
    """Kernels in the order of the file, and values by metric.

    names, grids, blocks, streams, devices   one a kernel
    times     how many launches it stands for, whose average its values are
    columns   {(metric, base unit): (rows, values)}
    facts     {device: {attribute: value}}
    """

    names: list[str] = field(default_factory=list)
    grids: list[Three] = field(default_factory=list)
    blocks: list[Three] = field(default_factory=list)
    streams: list[int] = field(default_factory=list)
    devices: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    columns: dict[tuple[str, str], tuple[array[int], array[float]]] = field(default_factory=dict)
    facts: dict[int, dict[str, float | str]] = field(default_factory=dict)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: dict[str, None] = field(default_factory=dict)
    marks: dict[str, Any] = field(default_factory=dict)
    launched: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def add(
        self,
        name: str,
        grid: Three = UNKNOWN,
        block: Three = UNKNOWN,
        stream: int = -1,
        device: int = 0,
        times: int = 1,
    ) -> int:
        """A further kernel; its row."""
        room = MOST_TIMES - self.launched
        if times - 1 > room:
            self.lose("launches of kernels", f"{MOST_TIMES:,} are kept", times - 1 - room)
        self.times.append(max(min(times, room + 1), 1))
        self.launched += self.times[-1] - 1
        self.names.append(name)
        self.grids.append(grid)
        self.blocks.append(block)
        self.streams.append(stream if -1 <= stream < 2**63 else -1)
        self.devices.append(device if 0 <= device < 2**31 else 0)
        return len(self.names) - 1

    def put(self, row: int, metric: str, unit: str, value: float) -> None:
        """A metric's value for a kernel; of two values the later one is kept."""
        if metric.startswith(ATTRIBUTE):
            self.know(self.devices[row], metric.removeprefix(ATTRIBUTE), value / KILO if unit == "Hz" else value)
            return
        column = self.columns.get((metric, unit))
        if column is None:
            column = self.columns[metric, unit] = (array("q"), array("d"))
        column[0].append(row)
        column[1].append(value)

    def know(self, device: int, attribute: str, value: float | str) -> None:
        """An attribute of a device, the first that is said of it."""
        self.facts.setdefault(device, {}).setdefault(attribute, value)

    def lose(self, what: str, why: str, count: int = 1) -> None:
        """Something that is not in the trace."""
        self.lost[what, why] += count

    def trace(self, source: str) -> Trace:
        """The Trace: kernels laid one after the other, as each was run alone."""
        names, columns = Names(), self._dense()
        launch = np.repeat(np.arange(len(self)), self.times)
        start, end = _laid(self._durations(columns)[launch])
        clock = self._clock(columns)
        devices, index = self._devices(clock)
        kernels = Kernels.of(
            start=start, end=end, name=names.of(self.names)[launch], device=index[launch],
            stream=np.array(self.streams, np.int64)[launch], grid=np.array(self.grids, np.int32).reshape(-1, 3)[launch],
            block=np.array(self.blocks, np.int32).reshape(-1, 3)[launch],
        )  # fmt: skip
        return Trace(
            source, "ncu", devices=devices, names=names.texts(), kernels=kernels, timeline=False, marks=self.marks,
            metrics=tuple(Metric(name, unit, values[launch]) for (name, unit), values in columns.items()),
            notes=(self._note(clock), *self.notes),
            unread=tuple(Unread(what, count, why) for (what, why), count in self.lost.items()),
        )  # fmt: skip

    def _dense(self) -> dict[tuple[str, str], Reals]:
        """Columns of one value a kernel; the best filled ones where there is no room for all."""
        room = MOST_CELLS // (len(self) + self.launched + 1)
        ranked = sorted(self.columns, key=lambda key: (key[0] not in DURATIONS, -len(self.columns[key][0])))
        if len(ranked) > room:
            self.lose("metrics", f"there is room for {MOST_CELLS:,} values", len(ranked) - room)
        chosen = set(ranked[:room])
        return {key: self._column(*pair) for key, pair in self.columns.items() if key in chosen}

    def _column(self, rows: array[int], values: array[float]) -> Reals:
        full = np.full(len(self), np.nan)
        full[np.array(rows)] = np.array(values)
        return full

    def _durations(self, columns: dict[tuple[str, str], Reals]) -> Reals:
        found = np.full(len(self), np.nan)
        for name in DURATIONS:
            known = columns.get((name, "ns"))
            if known is not None:
                found = np.where(np.isnan(found), known, found)
        missing = int(np.isnan(found).sum())
        if missing:
            self.lose(
                "durations of kernels", "gpu__time_duration was not collected for them, or has no unit of time", missing
            )
        return found

    def _clock(self, columns: dict[tuple[str, str], Reals]) -> Reals:
        known = [columns[name, "Hz"] for name in SEEN_CLOCKS if (name, "Hz") in columns]
        return known[0] if known else np.full(len(self), np.nan)

    def _devices(self, clock: Reals) -> tuple[tuple[Any, ...], npt.NDArray[Any]]:
        numbers, index = np.unique(np.array(self.devices, np.int64), return_inverse=True)
        for place, number in enumerate(numbers.tolist()):
            mine = clock[(index == place) & np.isfinite(clock)]
            if len(mine):
                self.know(number, "seen_clock_hz", float(np.median(mine)))
        self._unused()
        return tuple(device(n, self.facts.get(n, {})) for n in numbers.tolist()), index

    def _unused(self) -> None:
        count = sum(name not in USED for facts in self.facts.values() for name in facts)
        if count:
            self.lose("attributes of the GPU", "no formula here needs them", count)

    def _note(self, clock: Reals) -> str:
        known = clock[np.isfinite(clock)]
        said = self.marks.get("clock_control", "")
        low, high = (known.min() / 1e9, known.max() / 1e9) if len(known) else (0.0, 0.0)
        seen = (
            f" ({low:.3f} GHz was seen)"
            if f"{low:.3f}" == f"{high:.3f}"
            else f" ({low:.3f} to {high:.3f} GHz were seen)"
        )
        return NOTE.format(said=f" (this run: {said})" if said else "", seen=seen if len(known) else "")


def _laid(durations: Reals) -> tuple[list[int], list[int]]:
    """Starts and ends of kernels one after the other; an unknown duration ends before it starts."""
    start, end, now = [], [], 0
    for value in durations.tolist():
        known = not math.isnan(value) and 0 <= value <= LONGEST and now < 2**62
        start.append(now)
        end.append(now + round(value) if known else now - 1)
        now = max(now, end[-1])
    return start, end
