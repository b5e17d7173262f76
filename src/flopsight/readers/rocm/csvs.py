"""rocprofv3's CSV files: kernels, copies, calls, markers, counters and statistics; one file, or a folder of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits
from flopsight.readers.reader import Head
from flopsight.readers.rocm.cells import header_of, rows
from flopsight.readers.rocm.rows import Dispatch, Happening, Rows, blocks, times, whole
from flopsight.trace import Series, Trace
from flopsight.trace.columns import CALL, COPY, HOST_RANGE

Cells = Mapping[str, str]
AXES: Final = "XYZ"


def _kernel(found: Rows, row: Cells) -> None:
    group = [whole(row.get(f"Workgroup_Size_{a}")) for a in AXES]
    items = [whole(row.get(f"Grid_Size_{a}")) for a in AXES]
    start, end = times(row.get("Start_Timestamp"), row.get("End_Timestamp"))
    found.add(
        Dispatch(
            row.get("Kernel_Name", ""), start, end, row.get("Agent_Id", ""), whole(row.get("Queue_Id")),
            correlation=whole(row.get("Correlation_Id")), grid=blocks(items, group),
            block=(group[0], group[1], group[2]),
        ),
        ("dispatch", row.get("Agent_Id"), row.get("Dispatch_Id")),
    )  # fmt: skip


def _counter(found: Rows, row: Cells) -> None:
    start, end = times(row.get("Start_Timestamp"), row.get("End_Timestamp"))
    group, items = whole(row.get("Workgroup_Size")), whole(row.get("Grid_Size"))
    at = found.add(
        Dispatch(
            row.get("Kernel_Name", ""), start, end, row.get("Agent_Id", ""), whole(row.get("Queue_Id")),
            correlation=whole(row.get("Correlation_Id")), grid=blocks((items, 1, 1), (group, 1, 1)),
            block=(group, 1, 1),
        ),
        ("dispatch", row.get("Agent_Id"), row.get("Dispatch_Id")),
    )  # fmt: skip
    value = number(row.get("Counter_Value"))
    if value is None:
        found.lost["counters without a number"] += 1
    else:
        found.count(row.get("Counter_Name", ""), at, value)


def _copy(found: Rows, row: Cells) -> None:
    start, end = times(row.get("Start_Timestamp"), row.get("End_Timestamp"))
    direction = row.get("Direction", "").replace("MEMORY_COPY_", "").replace("_", " ").lower()
    target, source = row.get("Destination_Agent_Id", ""), row.get("Source_Agent_Id", "")
    device = source if "to host" in direction else target
    found.add(
        Dispatch(f"copy {direction}".strip(), start, end, device, whole(row.get("Stream_Id")), COPY,
                 whole(row.get("Correlation_Id")))
    )  # fmt: skip


def _call(found: Rows, row: Cells) -> None:
    domain = row.get("Domain", "")
    start, end = whole(row.get("Start_Timestamp")), whole(row.get("End_Timestamp"))
    if start < 0 or end < start:
        found.lost["calls without a time"] += 1
        return
    marker = "MARKER" in domain or "ROCTX" in domain.upper()
    found.host.append(
        Happening(row.get("Function", ""), start, end, f"{row.get('Process_Id')}/{row.get('Thread_Id')}",
                  HOST_RANGE if marker else CALL, -1 if marker else whole(row.get("Correlation_Id")))
    )  # fmt: skip


def _statistic(found: Rows, row: Cells) -> None:
    value, calls = number(row.get("TotalDurationNs")), row.get("Calls", "")
    found.series.append(
        Series(row.get("Name", ""), "ns", np.array([-1]), np.array([np.nan if value is None else value]),
               {"calls": calls, "statistic": "total duration"})
    )  # fmt: skip


def number(text: str | None) -> float | None:
    """A finite number in a cell; None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


FORMS: Final[tuple[tuple[frozenset[str], Callable[[Rows, Cells], None]], ...]] = (
    (frozenset({"Counter_Name", "Counter_Value", "Dispatch_Id", "Kernel_Name"}), _counter),
    (frozenset({"Kernel_Name", "Start_Timestamp", "Dispatch_Id", "Agent_Id"}), _kernel),
    (frozenset({"Direction", "Start_Timestamp", "Destination_Agent_Id"}), _copy),
    (frozenset({"Domain", "Function", "Start_Timestamp"}), _call),
    (frozenset({"Name", "Calls", "TotalDurationNs"}), _statistic),
)
"""Columns that tell each kind of file, and what takes its rows."""
ENDINGS: Final = ("kernel_trace.csv", "counter_collection.csv", "memory_copy_trace.csv", "hip_api_trace.csv")


def form_of(text: bytes) -> Callable[[Rows, Cells], None] | None:
    """What takes the rows of a file that begins so."""
    header = header_of(text)
    return next((take for columns, take in FORMS if columns <= header), None)


@dataclass(frozen=True, slots=True)
class Csvs:
    """rocprofv3 --output-format csv."""

    name: str = "rocprofv3-csv"
    title: str = "rocprofv3 CSV files, one or a folder of them"

    def recognises(self, head: Head) -> bool:
        """By the columns of its first line; a folder by the names that rocprofv3 gives its files."""
        if head.files:
            return any(name.endswith(ENDINGS) for name in head.files)
        return form_of(head.text) is not None

    def read(self, path: Path, limits: Limits) -> Trace:
        """One file, or all of a folder joined."""
        found = Rows()
        places = sorted(p for p in path.iterdir() if p.suffix == ".csv") if path.is_dir() else [path]
        for place in sorted(places, key=lambda p: "kernel_trace" not in p.name):
            self._take(found, place, limits)
        return found.trace(path, "rocprofv3")

    def _take(self, found: Rows, place: Path, limits: Limits) -> None:
        from flopsight.readers.limits import unpacked

        with unpacked(place, limits) as source:
            take = form_of(source.read(1 << 16))
        if take is None:
            found.lost[f"the file {place.name}"] += 1
            return
        try:
            for row in rows(place, limits):
                take(found, row)
        except BadFile as error:
            found.lost[str(error)] += 1


READER: Final = Csvs()
