"""Calls, NVTX ranges and waits.

PyTorch's own ranges (emit_nvtx) hold an op's name, its sequence number and, where asked for, the sizes of its inputs:
"aten::mm, seq = 12, op_id = 99, sizes = [[4, 8], [8, 2]]".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from flopsight.readers.nsys.kernels import joint
from flopsight.readers.nsys.strings import Strings
from flopsight.readers.sqlite import Database
from flopsight.trace import Host, Names, Signature
from flopsight.trace.columns import CALL, HOST_RANGE, OP, OVERHEAD, WAIT

CALLS: Final = "CUPTI_ACTIVITY_KIND_RUNTIME"
WAITS: Final = "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION"
RANGES: Final = "NVTX_EVENTS"
OURS: Final = "PROFILER_OVERHEAD"
PUSHED: Final = (59, 60)
"""Event types of ranges: pushed and popped, started and ended."""
SYNCS: Final = {1: "Event Synchronize", 2: "Stream Wait Event", 3: "Stream Synchronize", 4: "Context Synchronize"}
VERSION: Final = re.compile(r"_v\d+(?:_ptsz|_ptds)?$")
OP_TEXT: Final = re.compile(
    r"^([\w.:~<>]+(?:::)[\w.]+)(?:, seq = (\d+))?(?:, op_id = (\d+))?(?:, sizes = (.*?))?(?:, input_op_ids.*)?$"
)
LONGEST: Final = 20_000
_COLUMNS: Final = ("start", "end", "thread", "name", "kind", "correlation", "sequence", "signature")


class HostRows:
    """Collects rows of threads."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._threads: dict[int, int] = {}
        self._signatures: dict[str, int] = {}
        self._parts: list[dict[str, Any]] = []

    def add(self, kind: Any, start: Any, end: Any, thread: Any, name: Any, **more: Any) -> None:
        """Rows of one kind."""
        size = len(start)
        good = (start >= 0) & (end >= start)
        part = {
            "start": start[good], "end": end[good], "thread": self._thread(thread)[good], "name": name[good],
            "kind": np.broadcast_to(np.asarray(kind, np.int8), size)[good],
        }  # fmt: skip
        for column in _COLUMNS[5:]:
            part[column] = more.get(column, np.full(size, -1, np.int64))[good]
        self._parts.append(part)

    def _thread(self, numbers: Any) -> Any:
        distinct, place = np.unique(numbers, return_inverse=True)
        own = [self._threads.setdefault(n, len(self._threads)) for n in distinct.tolist()]
        return np.array(own, np.int32)[place] if own else np.empty(0, np.int32)

    def signature(self, sizes: str) -> int:
        """The number of a text of sizes."""
        return self._signatures.setdefault(sizes, len(self._signatures))

    def signatures(self) -> tuple[Signature, ...]:
        """All of them; what is no list of sizes is nothing."""
        return tuple(_signature(text) for text in self._signatures)

    def threads(self) -> tuple[str, ...]:
        """ "pid/tid" of every thread."""
        return tuple(f"{(n >> 24) & 0xFFFFFF}/{n & 0xFFFFFF}" for n in self._threads)

    def host(self) -> Host:
        """All rows."""
        if not self._parts:
            return Host.of(start=())
        return Host.of(**{c: np.concatenate([p[c] for p in self._parts]) for c in _COLUMNS})


def read_host(db: Database, strings: Strings, rows: HostRows) -> None:
    """Everything that threads did."""
    _calls(db, strings, rows)
    _ranges(db, strings, rows)
    _waits(db, rows)
    _overhead(db, strings, rows)


def _calls(db: Database, strings: Strings, rows: HostRows) -> None:
    if not db.count(CALLS):
        return
    found = db.columns(CALLS, ("start", "end", "globalTid", "correlationId", "nameId"))
    distinct, place = np.unique(found["nameId"], return_inverse=True)
    plain = rows.names.of(VERSION.sub("", strings.get(n, "unnamed call")) for n in distinct.tolist())
    process = found["globalTid"] & ~0xFFFFFF
    rows.add(CALL, found["start"], found["end"], found["globalTid"], plain[place],
             correlation=joint(process, found["correlationId"]))  # fmt: skip


def _ranges(db: Database, strings: Strings, rows: HostRows) -> None:
    if not db.count(RANGES):
        return
    where = f"WHERE eventType IN {PUSHED}" if "eventType" in db.names(RANGES) else ""
    found = db.columns(RANGES, ("start", "end", "globalTid", "textId"), where)
    own = db.texts(RANGES, "text", where) if "text" in db.names(RANGES) else [None] * len(found["start"])
    texts = [t if t is not None else strings.get(i) for t, i in zip(own, found["textId"].tolist(), strict=True)]
    kinds, names, sequences, signatures = _taken_apart(texts, rows)
    rows.add(kinds, found["start"], found["end"], found["globalTid"], names, sequence=sequences, signature=signatures)


def _taken_apart(texts: Iterable[str], rows: HostRows) -> tuple[Any, Any, Any, Any]:
    kinds, names, sequences, signatures = [], [], [], []
    for text in texts:
        match = OP_TEXT.match(text[:LONGEST])
        name, sequence, _, sizes = match.groups() if match else (text[:LONGEST], None, None, None)
        kinds.append(OP if match else HOST_RANGE)
        names.append(rows.names[name])
        sequences.append(min(int(sequence), 2**62) if sequence else -1)
        signatures.append(rows.signature(sizes) if sizes else -1)
    return (
        np.array(kinds, np.int8),
        np.array(names, np.int64),
        np.array(sequences, np.int64),
        np.array(signatures, np.int64),
    )


def _waits(db: Database, rows: HostRows) -> None:
    if not db.count(WAITS):
        return
    found = db.columns(WAITS, ("start", "end", "globalPid", "syncType"))
    names = rows.names.of(SYNCS.get(k, "Synchronize") for k in found["syncType"].tolist())
    rows.add(WAIT, found["start"], found["end"], found["globalPid"], names)


def _overhead(db: Database, strings: Strings, rows: HostRows) -> None:
    if not db.count(OURS):
        return
    found = db.columns(OURS, ("start", "end", "globalTid", "nameId"))
    rows.add(OVERHEAD, found["start"], found["end"], found["globalTid"],
             strings.renamed(found["nameId"], rows.names, "profiler overhead"))  # fmt: skip


def _signature(text: str) -> Signature:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return Signature(())
    return Signature(_frozen(found)) if isinstance(found, list) else Signature(())


def _frozen(value: Any, depth: int = 0) -> Any:
    if isinstance(value, list) and depth < 4:
        return tuple(_frozen(one, depth + 1) for one in value)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
