"""Whose kernel it is: kernels -> the call that launched them -> the op around it -> the module around that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from flopsight.trace import Host, Kernels, Trace
from flopsight.trace.columns import CALL, HOST_RANGE, OP, PYTHON, Ints
from flopsight.trace.nesting import parents

MODULE: Final = "nn.Module: "
"""How the profiler marks the call of a module."""


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """Rows of Trace.host, -1 where none was found.

    call    by kernel: the call that launched it
    op      by kernel: the innermost op around that call (or the op whose number the kernel carries)
    parent  by host row: the innermost event around it
    """

    call: Ints
    op: Ints
    parent: Ints

    def share(self, kernels: Kernels, rows: Ints) -> float | None:
        """Share of kernel time that has a row in `rows`; None without any time."""
        whole = int(kernels.duration.sum())
        return float(kernels.duration[rows >= 0].sum() / whole) if whole else None


def attribute(trace: Trace) -> Attribution:
    """Join a trace's kernels to its ops; every step is by number where the file has one, else by time."""
    host, kernels = trace.host, trace.kernels
    around = host.parent if (host.parent >= 0).any() else parents(host.start, host.end, host.thread)
    call = _calls(kernels, host)
    op = nearest(host, around, call, (OP,))
    bare = (op < 0) & (kernels.external >= 0)
    if bare.any():
        op[bare] = _numbered(host, kernels.external[bare])
    op = np.where(kernels.origin >= 0, kernels.origin, op)
    lost = op < 0
    if lost.any():
        op[lost] = nearest(host, around, call[lost], (HOST_RANGE,))
    return Attribution(call, op, around)


def _calls(kernels: Kernels, host: Host) -> Ints:
    if (kernels.host >= 0).any():
        return kernels.host.astype(np.int64)
    return _joined(host, (host.kind == CALL) & (host.correlation >= 0), host.correlation, kernels.correlation)


def _numbered(host: Host, external: Ints) -> Ints:
    return _joined(host, (host.kind == OP) & (host.external >= 0), host.external, external)


def _joined(host: Host, among: Ints, key: Ints, wanted: Ints) -> Ints:
    """The first row of `among` that carries each wanted number; -1 where none does."""
    rows = np.flatnonzero(among)
    found = np.full(len(wanted), -1, np.int64)
    if not len(rows) or not len(wanted):
        return found
    order = rows[np.argsort(key[rows], kind="stable")]
    keys = key[order]
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    hit = (keys[at] == wanted) & (wanted >= 0)
    found[hit] = order[at[hit]]
    return found


def nearest(host: Host, parent: Ints, rows: Ints, kinds: tuple[int, ...]) -> Ints:
    """From each row upwards (itself included) the first of one of these kinds; -1 where there is none."""
    right = np.isin(host.kind, kinds)
    return climb(parent, rows, right)


def climb(parent: Ints, rows: Ints, right: Ints) -> Ints:
    """From each row upwards (itself included) the first that is right; -1 where there is none."""
    found = np.asarray(rows, np.int64).copy()
    for _ in range(len(parent) + 1):
        going = np.flatnonzero(found >= 0)
        going = going[~right[found[going]]]
        if not len(going):
            break
        found[going] = parent[found[going]]
    return found


def modules(trace: Trace, found: Attribution) -> Ints:
    """By host row that is an op: the innermost module around it, a backward op's that of its forward op; else -1."""
    host = trace.host
    marks = np.array([name.startswith(MODULE) for name in (*trace.names, "")], bool)
    is_module = (host.kind == PYTHON) & marks[host.name]
    owner = np.full(len(host), -1, np.int64)
    ops = np.flatnonzero(host.kind == OP)
    if not is_module.any() or not len(ops):
        return owner
    owner[ops] = climb(found.parent, ops, is_module)
    _backward(host, found.parent, owner, ops)
    return owner


def _backward(host: Host, parent: Ints, owner: Ints, ops: Ints) -> None:
    """Give ops of a backward pass the module of the forward op with the same sequence number."""
    forward = ops[(host.sequence[ops] >= 0) & (owner[ops] >= 0)]
    if not len(forward):
        return
    bare = ops[owner[ops] < 0]
    source = climb(parent, bare, host.sequence >= 0)
    known = source >= 0
    if not known.any():
        return
    order = forward[np.argsort(host.sequence[forward], kind="stable")]
    keys = host.sequence[order]
    wanted = host.sequence[source[known]]
    # several ops may share a number: the last one before it rises is the one that made the node
    at = np.searchsorted(keys, wanted, side="right") - 1
    hit = (at >= 0) & (keys[np.maximum(at, 0)] == wanted)
    owner[bare[known][hit]] = owner[order[at[hit]]]


def path_of(trace: Trace, found: Attribution, row: int) -> str:
    """The modules around a module, outermost first: "Qwen2Model_0.Qwen2DecoderLayer_3.Linear_21"."""
    steps = []
    while row >= 0:
        name = trace.names[trace.host.name[row]]
        if name.startswith(MODULE):
            steps.append(name[len(MODULE) :])
        row = int(found.parent[row])
    return ".".join(reversed(steps))


ENGINE: Final = "autograd::engine::evaluate_function"
AGAIN: Final = "CheckpointFunctionBackward"


def recomputed(trace: Trace, found: Attribution) -> Ints:
    """By host row that is an op: whether it is a forward op that runs once more inside a backward pass.

    Going up from such an op, a module or a checkpoint stands nearer than the step of the backward pass that both are
    in; going up from a gradient's op, that step comes first. Without modules in the record (with_stack=False) only
    reentrant checkpoints can be told.
    """
    host = trace.host
    texts = (*trace.names, "")
    engine = np.array([n.startswith(ENGINE) for n in texts], bool)[host.name]
    again = np.array([AGAIN in n and not n.startswith(ENGINE) for n in texts], bool)[host.name]
    module = np.array([n.startswith(MODULE) for n in texts], bool)[host.name] & (host.kind == PYTHON)
    result = np.zeros(len(host), bool)
    ops = np.flatnonzero(host.kind == OP)
    if not len(ops) or not engine.any():
        return result
    nearest_mark = climb(found.parent, found.parent[ops], engine | again | module)
    inner = (nearest_mark >= 0) & ~engine[nearest_mark]
    outer = climb(found.parent, np.where(inner, found.parent[nearest_mark], -1), engine)
    result[ops] = inner & (outer >= 0)
    return result
