"""rocprofv3's own database (rocpd, ROCm 7): views of kernels, copies, calls and counters.

Source: the views that the schema of rocprofiler-sdk defines ("kernels", "memory_copies", "regions",
"counters_collection").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopsight.readers.limits import Limits
from flopsight.readers.reader import Head
from flopsight.readers.rocm.rows import Dispatch, Happening, Rows, blocks, times, whole
from flopsight.readers.sqlite import Database, database, quoted
from flopsight.trace import Trace
from flopsight.trace.columns import CALL, COPY

KERNELS, COPIES, CALLS, COUNTERS = "kernels", "memory_copies", "regions", "counters_collection"


@dataclass(frozen=True, slots=True)
class Rocpd:
    """rocprofv3 --output-format rocpd."""

    name: str = "rocpd"
    title: str = "rocprofv3 databases (rocpd)"

    def recognises(self, head: Head) -> bool:
        """By its views, which RPD does not have."""
        return KERNELS in head.tables and any(t.startswith("rocpd_info") or t == COUNTERS for t in head.tables)

    def read(self, path: Path, limits: Limits) -> Trace:
        """All dispatches, copies, calls and counters."""
        found = Rows()
        with database(path, limits) as db:
            for row in _rows(db, KERNELS):
                _kernel(found, row)
            for row in _rows(db, COUNTERS):
                _counter(found, row)
            for row in _rows(db, COPIES):
                start, end = times(row.get("start"), row.get("end"))
                found.add(Dispatch(str(row.get("name") or "copy"), start, end, _agent(row), whole(row.get("stream_id")),
                                   COPY, whole(row.get("stack_id")), whole(row.get("size"))))  # fmt: skip
            for row in _rows(db, CALLS):
                _call(found, row)
        return found.trace(path, "rocpd")


def _rows(db: Database, view: str) -> list[dict[str, Any]]:
    if not db.has(view):
        return []
    names = [str(r[1]) for r in db.rows(f"PRAGMA table_info({quoted(view)})")]
    return [dict(zip(names, row, strict=True)) for row in db.rows(f"SELECT * FROM {quoted(view)}")]  # noqa: S608


def _agent(row: dict[str, Any]) -> str:
    return str(
        next(
            (row[k] for k in ("agent_abs_index", "agent_id", "dst_agent_abs_index", "nid") if row.get(k) is not None),
            "",
        )
    )


def _dispatch(row: dict[str, Any]) -> Dispatch:
    start, end = times(row.get("start"), row.get("end"))
    group = [whole(row.get(f"workgroup_{a}", row.get("workgroup_size"))) for a in "xyz"]
    items = [whole(row.get(f"grid_{a}", row.get("grid_size"))) for a in "xyz"]
    name = row.get("name") or row.get("kernel_name") or "unnamed"
    return Dispatch(str(name), start, end, _agent(row), whole(row.get("stream_id", row.get("queue_id"))),
                    correlation=whole(row.get("stack_id", row.get("correlation_id"))), grid=blocks(items, group),
                    block=(group[0], group[1], group[2]))  # fmt: skip


def _kernel(found: Rows, row: dict[str, Any]) -> None:
    found.add(_dispatch(row), ("dispatch", row.get("dispatch_id", row.get("id"))))


def _counter(found: Rows, row: dict[str, Any]) -> None:
    at = found.add(_dispatch(row), ("dispatch", row.get("dispatch_id", row.get("id"))))
    value = row.get("value", row.get("counter_value"))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        found.count(str(row.get("counter_name", "")), at, float(value))
    else:
        found.lost["counters without a number"] += 1


def _call(found: Rows, row: dict[str, Any]) -> None:
    start, end = whole(row.get("start")), whole(row.get("end"))
    if start < 0 or end < start:
        found.lost["calls without a time"] += 1
        return
    found.host.append(Happening(str(row.get("name") or ""), start, end, f"{row.get('pid')}/{row.get('tid')}", CALL,
                                whole(row.get("stack_id"))))  # fmt: skip


READER: Final = Rocpd()
