"""A program that XLA compiled for the processor: the ops that its threads recorded are all the device there is."""

from __future__ import annotations

from typing import Any

import numpy as np

from flopsight.trace import Device
from flopsight.trace.columns import KERNEL, OP, RANGE, Host
from flopsight.trace.nesting import parents


def columns(host: Host, ordinal: Any) -> tuple[dict[str, Any], tuple[Device, ...]]:
    """Kernels of the ops on threads, and the devices that they name; one that encloses others is a range.

    Only for a file without a device's plane: beside one the same stats are on the calls that launch kernels.
    """
    rows = np.flatnonzero((host.kind == OP) & (host.external >= 0))
    numbers, index = np.unique(np.maximum(ordinal[rows], 0), return_inverse=True)
    start, end, thread = host.start[rows], host.end[rows], host.thread[rows]
    parent = parents(start, end, thread)
    inside = np.flatnonzero((parent >= 0) & (end > start))
    kind = np.full(len(rows), KERNEL)
    kind[parent[inside[end[inside] <= end[parent[inside]]]]] = RANGE
    found = {
        "start": start, "end": end, "device": index.reshape(-1), "stream": thread, "name": host.name[rows],
        "kind": kind, "external": host.external[rows], "host": rows,
    }  # fmt: skip
    return found, tuple(Device(number, vendor="cpu") for number in numbers.tolist())
