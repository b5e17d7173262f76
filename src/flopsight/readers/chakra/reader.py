"""READER of execution traces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from flopsight.errors import BadFile
from flopsight.readers.chakra.nodes import Node, Nodes, nodes
from flopsight.readers.chakra.signatures import signature
from flopsight.readers.events import unwatched
from flopsight.readers.limits import Limits, whole
from flopsight.readers.reader import Head
from flopsight.trace import Host, Names, Signature, Trace, Unread
from flopsight.trace.columns import HOST_RANGE, OP

MOST: Final = 2 << 30
SCHEMA: Final = re.compile(rb'"schema"\s*:\s*"\d')
LISTED: Final = re.compile(rb'"nodes"\s*:\s*\[')
ARGUED: Final = re.compile(rb'"(?:rf_id|input_shapes|ctrl_deps|op_schema)"')
USER_SCOPE: Final = 7
NO_TIMES: Final = (
    "An execution trace records which ops ran, with their inputs, and not when: starts only give the order. Beside "
    "the profiler's trace of the same run it gives shapes to ops that were recorded without."
)


@dataclass(frozen=True, slots=True)
class Chakra:
    """What torch's ExecutionTraceObserver writes; schemas 1.0.x and 1.x.x-chakra."""

    name: str = "chakra"
    title: str = "PyTorch execution traces"

    def recognises(self, head: Head) -> bool:
        """By a schema and a list of nodes that have record functions."""
        text = head.text
        return text.lstrip()[:1] == b"{" and bool(SCHEMA.search(text) and LISTED.search(text) and ARGUED.search(text))

    def read(self, path: Path, limits: Limits) -> Trace:
        """All nodes as rows of threads, in the order in which they began; BadFile where there is not one."""
        with unwatched():
            found = nodes(whole(path, limits, MOST))
            ordered = sorted(found.nodes, key=lambda one: one.id)
            if not ordered:
                raise BadFile(f"{path} holds no node of an execution trace ({found.cut or 'its list is empty'}).")
            return _trace(path, found, ordered)


def _trace(path: Path, found: Nodes, ordered: list[Node]) -> Trace:
    names, threads = Names(), Names()
    signatures: dict[Signature | None, int] = {None: -1}
    numbers = [signatures.setdefault(signature(one), len(signatures) - 1) for one in ordered]
    host = Host.of(
        start=np.arange(len(ordered)), end=np.arange(len(ordered)) - 1, name=names.of(one.name for one in ordered),
        thread=threads.of(f"{found.around.get('pid', '')}/{one.thread}" for one in ordered),
        kind=[HOST_RANGE if one.scope == USER_SCOPE else OP for one in ordered],
        record=[one.record for one in ordered], sequence=[one.sequence for one in ordered], signature=numbers,
        parent=_parents(ordered),
    )  # fmt: skip
    lost = [Unread("nodes that are not whole", found.broken, "not understood")] if found.broken else []
    lost += [Unread("the end of the file", 1, found.cut)] if found.cut else []
    return Trace(
        source=str(path), format="chakra", names=names.texts(), host=host, threads=threads.texts(),
        signatures=tuple(one for one in signatures if one is not None), timeline=False, marks=found.around,
        notes=(NO_TIMES,), unread=tuple(lost),
    )  # fmt: skip


def _parents(ordered: list[Node]) -> Any:
    """Row of the node that each one ran in; -1 where it is not in the file, or would not have begun before."""
    rows = {one.id: row for row, one in enumerate(ordered)}
    found = np.array([rows.get(one.parent, -1) for one in ordered], np.int64)
    return np.where(found < np.arange(len(ordered)), found, -1)


READER: Final = Chakra()
