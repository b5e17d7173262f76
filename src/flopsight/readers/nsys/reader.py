"""READER of Nsight Systems' SQLite exports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits
from flopsight.readers.nsys.devices import devices
from flopsight.readers.nsys.host import HostRows, read_host
from flopsight.readers.nsys.kernels import kernels
from flopsight.readers.nsys.metrics import series
from flopsight.readers.nsys.strings import Strings
from flopsight.readers.reader import Head
from flopsight.readers.sqlite import Database, database
from flopsight.trace import Names, Trace, Unread

OWN: Final = "META_DATA_EXPORT"
TELLING: Final = ("CUPTI_ACTIVITY_KIND", "NVTX_EVENTS", "TARGET_INFO_", "StringIds")
UNUSED: Final = {
    "SCHED_EVENTS": "scheduling of threads", "COMPOSITE_EVENTS": "samples of processors",
    "SAMPLING_CALLCHAINS": "call stacks of samples", "OSRT_API": "calls of the operating system",
    "NIC_METRIC": "network metrics", "CUDA_UM_CPU_PAGE_FAULT_EVENTS": "page faults of unified memory",
    "CUDA_UM_GPU_PAGE_FAULT_EVENTS": "page faults of unified memory on GPUs", "CUDNN_EVENTS": "calls of cuDNN",
    "CUBLAS_EVENTS": "calls of cuBLAS", "MPI_P2P_EVENTS": "MPI messages", "MPI_COLLECTIVES_EVENTS": "MPI collectives",
    "UCP_EVENTS": "UCX messages",
}  # fmt: skip
LOST: Final = ("lost", "dropped", "incomplete", "not all", "overflow")


@dataclass(frozen=True, slots=True)
class Nsys:
    """Nsight Systems."""

    name: str = "nsys"
    title: str = "Nsight Systems exports (nsys export --type sqlite)"

    def recognises(self, head: Head) -> bool:
        """A database with its tables."""
        return OWN in head.tables and any(t.startswith(TELLING) for t in head.tables)

    def read(self, path: Path, limits: Limits) -> Trace:
        """Everything of one export; BadFile where it holds no activity."""
        with database(path, limits) as db:
            return _read(path, db)


def _read(path: Path, db: Database) -> Trace:
    names = Names()
    strings, rows = Strings(db), HostRows(names)
    found, numbers = kernels(db, strings, names)
    read_host(db, strings, rows)
    host, sampled = rows.host(), series(db)
    if not len(found) and not len(host) and not sampled:
        raise BadFile(
            f"{path} is an export of Nsight Systems without any kernel, call or range; record CUDA: -t cuda,nvtx."
        )
    return Trace(
        source=str(path), format="nsys", devices=devices(db, numbers.tolist()), names=names.texts(), kernels=found,
        host=host, threads=rows.threads(), signatures=rows.signatures(), series=sampled, marks=_marks(db),
        notes=_notes(db), unread=_unread(db),
    )  # fmt: skip


def _marks(db: Database) -> dict[str, Any]:
    if not db.has("META_DATA_EXPORT"):
        return {}
    wanted = ("EXPORT_SCHEMA_VERSION", "EXPORT_PRODUCT_VERSION")
    rows = db.rows("SELECT name, value FROM META_DATA_EXPORT")
    return {name: value for name, value in rows if name in wanted and isinstance(value, str)}


def _notes(db: Database) -> tuple[str, ...]:
    """What the profiler says it lost."""
    if not db.count("DIAGNOSTIC_EVENT") or "text" not in db.names("DIAGNOSTIC_EVENT"):
        return ()
    said = [t for t in db.texts("DIAGNOSTIC_EVENT", "text") if t and any(word in t.lower() for word in LOST)]
    return tuple(f"Nsight Systems says: {text.strip()[:300]}" for text in dict.fromkeys(said))


def _unread(db: Database) -> tuple[Unread, ...]:
    return tuple(Unread(what, n, "not used") for table, what in UNUSED.items() if (n := db.count(table)))


READER: Final = Nsys()
