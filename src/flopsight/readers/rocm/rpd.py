"""RPD (ROCm profile data): SQLite with ops of devices and calls of threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits
from flopsight.readers.reader import Head
from flopsight.readers.rocm.rows import Dispatch, Happening, Rows, times
from flopsight.readers.sqlite import Database, database
from flopsight.trace import Trace
from flopsight.trace.columns import CALL, COPY, KERNEL, SET

OWN: Final = frozenset({"rocpd_op", "rocpd_string", "rocpd_api"})
FURTHER: Final = {"KernelExecution": KERNEL, "CopyHostToDevice": COPY, "CopyDeviceToHost": COPY,
                  "CopyDeviceToDevice": COPY, "FillBuffer": SET}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rpd:
    """rocmProfileData."""

    name: str = "rpd"
    title: str = "RPD databases (rocmProfileData)"

    def recognises(self, head: Head) -> bool:
        """By its tables."""
        return head.tables >= OWN

    def read(self, path: Path, limits: Limits) -> Trace:
        """All ops and calls."""
        found = Rows()
        with database(path, limits) as db:
            texts = dict(zip(db.columns("rocpd_string", ("id",))["id"].tolist(), db.texts("rocpd_string", "string"),
                             strict=False))  # fmt: skip
            _ops(db, found, texts)
            _calls(db, found, texts)
        return found.trace(path, "rpd")


def _ops(db: Database, found: Rows, texts: Mapping[int, Any]) -> None:
    ops = db.columns("rocpd_op", ("id", "gpuId", "queueId", "start", "end", "description_id", "opType_id"))
    launches = _launches(db)
    kernels = _sizes(db)
    for op, gpu, queue, start, end, text, kind in zip(*(ops[c].tolist() for c in ops), strict=True):
        call = launches.get(op, -1)
        sort = str(texts.get(kind) or "")
        name = str(texts.get(text) or sort or "unnamed")
        grid, block = kernels.get(call, ((-1, -1, -1), (-1, -1, -1)))
        first, last = times(start, end)
        what = FURTHER.get(sort, COPY if "copy" in sort.lower() else SET if "fill" in sort.lower() else KERNEL)
        found.add(Dispatch(name, first, last, str(gpu), queue, what, call, grid=grid, block=block))


def _launches(db: Database) -> dict[int, int]:
    """{op: call that launched it}."""
    if not db.has("rocpd_api_ops"):
        return {}
    joined = db.columns("rocpd_api_ops", ("op_id", "api_id"))
    return dict(zip(joined["op_id"].tolist(), joined["api_id"].tolist(), strict=True))


Three = tuple[int, int, int]


def _sizes(db: Database) -> dict[int, tuple[Three, Three]]:
    if not db.count("rocpd_kernelapi"):
        return {}
    names = ("api_ptr_id", "gridX", "gridY", "gridZ", "workgroupX", "workgroupY", "workgroupZ")
    found = db.columns("rocpd_kernelapi", names)
    return {row[0]: (row[1:4], row[4:7]) for row in zip(*(found[n].tolist() for n in names), strict=True)}


def _calls(db: Database, found: Rows, texts: Mapping[int, Any]) -> None:
    calls = db.columns("rocpd_api", ("id", "pid", "tid", "start", "end", "apiName_id"))
    for number, pid, tid, start, end, name in zip(*(calls[c].tolist() for c in calls), strict=True):
        if 0 <= start <= end:
            found.host.append(Happening(str(texts.get(name) or "unnamed"), start, end, f"{pid}/{tid}", CALL, number))
        else:
            found.lost["calls without a time"] += 1


READER: Final = Rpd()
__all__ = ["READER", "BadFile"]
