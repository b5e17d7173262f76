"""A trace in which no device did anything: its ops, on the threads that ran them, take the place of kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flopsight.achieved.attribution import attribute, climb
from flopsight.achieved.work import above, work_of
from flopsight.trace import Device, Kernels, Trace
from flopsight.trace.columns import OP, RANGE


def has_device(trace: Trace) -> bool:
    """Whether any device computed, copied or filled memory in this file."""
    return bool((trace.kernels.kind != RANGE).any())


def on_threads(trace: Trace) -> Trace:
    """The same trace with a kernel for each op that works, on its thread as stream.

    Of ops inside each other the inner one works, but a matrix product works as a whole; an op without a known cost
    works where nothing else in or around it does.
    """
    host = trace.host
    found = attribute(trace)
    work = work_of(trace, found)
    busy = np.array([c.kind != "shape" for c in work.kinds] + [False], bool)[work.kind]
    product = np.array([bool(c.flops.executed) for c in work.kinds] + [False], bool)[work.kind]
    ops = host.kind == OP
    within = climb(found.parent, np.where(ops, found.parent, -1), product) >= 0
    working = (product | (busy & ~above(found.parent, busy))) & ~within
    inside = climb(found.parent, np.where(ops, found.parent, -1), busy) >= 0
    unknown = ops & ~busy & ~above(found.parent, ops) & ~inside & (work.kind < 0)
    rows = np.flatnonzero(working | unknown)
    kernels = Kernels.of(
        start=host.start[rows], end=host.end[rows], name=host.name[rows], host=rows, stream=host.thread[rows]
    )
    return replace(
        trace, kernels=kernels, host=replace(host, parent=found.parent), devices=(Device(0, "", "cpu"),), metrics=()
    )
