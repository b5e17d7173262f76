"""Kernels, copies and fills of an export."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from flopsight.readers.nsys.strings import Strings
from flopsight.readers.sqlite import Database
from flopsight.trace import Kernels, Names
from flopsight.trace.columns import COPY, KERNEL, SET

KERNELS: Final = "CUPTI_ACTIVITY_KIND_KERNEL"
COPIES: Final = "CUPTI_ACTIVITY_KIND_MEMCPY"
FILLS: Final = "CUPTI_ACTIVITY_KIND_MEMSET"
COMMON: Final = ("start", "end", "deviceId", "streamId", "correlationId", "globalPid", "graphNodeId")
SIZES: Final = ("gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ")
COPY_KINDS: Final = {1: "HtoD", 2: "DtoH", 3: "HtoA", 4: "AtoH", 8: "DtoD", 9: "HtoH", 10: "PtoP", 11: "Unified HtoD",
                     12: "Unified DtoH"}  # fmt: skip


def kernels(db: Database, strings: Strings, names: Names) -> tuple[Kernels, Any]:
    """All activities, and the numbers of their devices; correlations are told apart by process."""
    tables = (_kernels(db, strings, names), _moves(db, names, COPIES, COPY), _moves(db, names, FILLS, SET))
    parts = [part for part in tables if part is not None]
    if not parts:
        return Kernels.of(start=()), np.empty(0, np.int64)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    numbers, index = np.unique(joined.pop("deviceId"), return_inverse=True)
    return Kernels.of(device=index, **joined), numbers


def _kernels(db: Database, strings: Strings, names: Names) -> dict[str, Any] | None:
    if not db.count(KERNELS):
        return None
    found = db.columns(KERNELS, (*COMMON, *SIZES, "demangledName", "shortName"))
    text = np.where(found["demangledName"] >= 0, found["demangledName"], found["shortName"])
    rows = _common(found, KERNEL)
    rows["name"] = strings.renamed(text, names, "unnamed kernel")
    rows["grid"] = np.stack([found[c] for c in SIZES[:3]], axis=1)
    rows["block"] = np.stack([found[c] for c in SIZES[3:]], axis=1)
    rows["bytes"] = np.full(len(text), -1, np.int64)
    return rows


def _moves(db: Database, names: Names, table: str, kind: int) -> dict[str, Any] | None:
    if not db.count(table):
        return None
    found = db.columns(table, (*COMMON, "bytes", "copyKind"))
    rows = _common(found, kind)
    size = len(rows["start"])
    said = [f"Memcpy {COPY_KINDS.get(k, 'of an unknown kind')}" if kind == COPY else "Memset"
            for k in found["copyKind"].tolist()]  # fmt: skip
    rows |= {
        "name": names.of(said),
        "bytes": found["bytes"],
        "grid": np.full((size, 3), -1),
        "block": np.full((size, 3), -1),
    }
    return rows


def _common(found: dict[str, Any], kind: int) -> dict[str, Any]:
    size = len(found["start"])
    good = (found["start"] >= 0) & (found["end"] >= found["start"])
    return {
        "start": np.where(good, found["start"], 0), "end": np.where(good, found["end"], -1),
        "deviceId": found["deviceId"], "stream": found["streamId"],
        "correlation": joint(found["globalPid"], found["correlationId"]),
        "graph": found["graphNodeId"], "kind": np.full(size, kind, np.int8),
    }  # fmt: skip


def joint(process: Any, correlation: Any) -> Any:
    """One number of a process and its correlation; both count from small numbers in every process."""
    pid = (process >> 24) & 0xFFFFFF
    return np.where(correlation >= 0, (pid << 36) | (correlation & ((1 << 36) - 1)), -1)
