"""Device time, FLOPs and bytes by op and shapes, by module, and by kernel name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flopsight.achieved.attribution import Attribution, modules, path_of, recomputed
from flopsight.achieved.timeline import KINDS, Labels
from flopsight.achieved.work import Work
from flopsight.counted import Flops
from flopsight.trace import Kernels, Signature, Trace
from flopsight.trace.columns import Ints

MOST = 20_000


@dataclass(frozen=True, slots=True)
class OpTime:
    """All calls of an op with the same shapes.

    flops        of all calls together; of those that ran a second time, only what was executed
    recomputed   calls that ran a forward op again in a backward pass
    elementwise  operations of the vector engine, of one call
    reads, writes  bytes of one call that must move at least; -1 where not modelled
    duration     ns of its kernels, added up (kernels of one op do not overlap)
    kernel       the name of its longest kernel, that kernel's grid and block, and its share of the duration
    """

    op: str
    kind: str
    engine: str
    dtype: str
    signature: Signature
    product: tuple[int, ...] | None
    calls: int
    recomputed: int
    flops: Flops
    elementwise: int
    reads: int
    writes: int
    duration: int
    kernels: int
    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    kernel_share: float
    note: str

    @property
    def bytes(self) -> int | None:
        """Of all calls; None where not modelled."""
        return None if self.reads < 0 or self.writes < 0 else (self.reads + self.writes) * self.calls


@dataclass(frozen=True, slots=True)
class ModuleTime:
    """All calls of one module (with everything that is launched directly in it, not in its children)."""

    path: str
    calls: int
    flops: Flops
    duration: int
    kernels: int


@dataclass(frozen=True, slots=True)
class NameTime:
    """All kernels of one name; `modelled` is the part of `duration` that has a cost."""

    name: str
    kind: str
    count: int
    duration: int
    modelled: int


def op_times(trace: Trace, found: Attribution, work: Work, owner: Ints, inside: Ints) -> list[OpTime]:
    """Ops with a cost whose kernels begin in the windows, longest first."""
    again = recomputed(trace, found)
    kernels = trace.kernels
    rows = np.flatnonzero(inside & (owner >= 0))
    if not len(rows) or not work.kinds:
        return []
    kind = work.kind[owner[rows]]
    size = len(work.kinds)
    duration = np.bincount(kind, kernels.duration[rows], size).astype(np.int64)
    count = np.bincount(kind, minlength=size)
    ran = _instances(kernels, owner, rows)
    calls = np.bincount(work.kind[ran], minlength=size)
    twice = np.bincount(work.kind[ran[again[ran]]], minlength=size)
    longest = _longest(kernels.duration[rows], kind, size)
    order = np.argsort(-duration, kind="stable")
    return [
        _op_time(
            trace, work, int(i), (int(calls[i]), int(twice[i])), int(duration[i]), int(count[i]), int(rows[longest[i]])
        )
        for i in order[:MOST]
        if calls[i]
    ]


def _instances(kernels: Kernels, owner: Ints, rows: Ints) -> Ints:
    """Every op that ran, once for each time that a graph repeated it."""
    launch = np.where(kernels.origin[rows] >= 0, kernels.correlation[rows], -1)
    return np.asarray(np.unique(np.stack((owner[rows], launch)), axis=1)[0])


def _longest(duration: Ints, kind: Ints, size: int) -> Ints:
    """By kind: the row with the longest duration."""
    order = np.lexsort((duration, kind))
    last = np.flatnonzero(np.append(np.diff(kind[order]) != 0, True))
    found = np.zeros(size, np.int64)
    found[kind[order][last]] = order[last]
    return found


def _op_time(
    trace: Trace, work: Work, i: int, ran: tuple[int, int], duration: int, count: int, row: int
) -> OpTime:  # fmt: skip
    cost, kernels = work.kinds[i], trace.kernels
    calls, again = ran
    once = calls - again
    return OpTime(
        op=work.names[i], kind=cost.kind, engine=cost.engine, dtype=cost.dtype,
        signature=trace.signatures[work.signatures[i]], product=cost.product, calls=calls,
        recomputed=again,
        flops=Flops(cost.flops.required * once, cost.flops.full_square * once, cost.flops.executed * calls),
        elementwise=cost.elementwise, reads=cost.reads, writes=cost.writes, duration=duration, kernels=count,
        kernel=trace.names[kernels.name[row]], grid=tuple(kernels.grid[row].tolist()),
        block=tuple(kernels.block[row].tolist()), note=cost.note,
        kernel_share=float(kernels.duration[row]) * calls / duration if duration else 0.0,
    )  # fmt: skip


def module_times(trace: Trace, found: Attribution, work: Work, owner: Ints, inside: Ints) -> list[ModuleTime]:
    """Modules by path, in the order of their first call; none where the file marks no modules."""
    if not len(trace.host):
        return []
    kernels, by_op = trace.kernels, modules(trace, found)
    rows = np.flatnonzero(inside & (found.op >= 0))
    rows = rows[by_op[found.op[rows]] >= 0]
    if not len(rows):
        return []
    module = by_op[found.op[rows]]
    distinct, place = np.unique(module, return_inverse=True)
    paths = [path_of(trace, found, int(m)) for m in distinct]
    duration = np.bincount(place, kernels.duration[rows]).astype(np.int64)
    count = np.bincount(place)
    flops = _flops_by(work, owner, rows, place, len(distinct))
    merged: dict[str, ModuleTime] = {}
    for i, path in enumerate(paths):
        before = merged.get(path, ModuleTime(path, 0, Flops(0, 0, 0), 0, 0))
        merged[path] = ModuleTime(
            path, before.calls + 1, before.flops + flops[i], before.duration + int(duration[i]),
            before.kernels + int(count[i]),
        )  # fmt: skip
    return list(merged.values())


def _flops_by(work: Work, owner: Ints, rows: Ints, place: Ints, size: int) -> list[Flops]:
    """FLOPs of the ops of each place, every op once however many kernels it has."""
    owned = owner[rows] >= 0
    ops, first = np.unique(owner[rows][owned], return_index=True)
    where = place[owned][first]
    sums = []
    for column in ("required", "full_square", "executed"):
        each = work.amounts(column)[work.kind[ops]] if len(ops) else np.empty(0)
        sums.append(np.bincount(where, each, size))
    return [Flops(int(a), int(b), int(c)) for a, b, c in zip(*sums, strict=True)]


def name_times(trace: Trace, labels: Labels, owner: Ints, inside: Ints) -> list[NameTime]:
    """Kernels that compute or communicate, by name, longest first."""
    kernels = trace.kernels
    rows = np.flatnonzero(inside & ((labels.kind >= 0) | labels.communicates))
    if not len(rows):
        return []
    distinct, first, place = np.unique(kernels.name[rows], return_index=True, return_inverse=True)
    duration = np.bincount(place, kernels.duration[rows]).astype(np.int64)
    known = np.bincount(place, np.where(owner[rows] >= 0, kernels.duration[rows], 0)).astype(np.int64)
    count = np.bincount(place)
    order = np.argsort(-duration, kind="stable")[:MOST]
    return [
        NameTime(trace.names[distinct[i]], _kind(labels, int(rows[first[i]])), int(count[i]), int(duration[i]),
                 int(known[i]))
        for i in order
    ]  # fmt: skip


def _kind(labels: Labels, row: int) -> str:
    return "communication" if labels.communicates[row] else KINDS[labels.kind[row]]
