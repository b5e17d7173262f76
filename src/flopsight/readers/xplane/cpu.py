"""A program that XLA compiled for the processor: the ops that its threads recorded are all the device there is."""

from __future__ import annotations

from typing import Any

import numpy as np

from flopsight.readers.xplane.loops import encloses
from flopsight.trace import Device
from flopsight.trace.columns import KERNEL, OP, RANGE, Host


def columns(host: Host, ordinal: Any) -> tuple[dict[str, Any], tuple[Device, ...]]:
    """Kernels of the ops on threads, and the devices that they name; one that encloses others is a range.

    Only for a file without a device's plane: beside one the same stats are on the calls that launch kernels.
    """
    rows = np.flatnonzero((host.kind == OP) & (host.external >= 0))
    numbers, index = np.unique(np.maximum(ordinal[rows], 0), return_inverse=True)
    start, end, thread = host.start[rows], host.end[rows], host.thread[rows]
    kind = np.where(encloses(start, end, thread), RANGE, KERNEL)
    found = {
        "start": start, "end": end, "device": index.reshape(-1), "stream": thread, "name": host.name[rows],
        "kind": kind, "external": host.external[rows], "host": rows,
    }  # fmt: skip
    return found, tuple(Device(number, vendor="cpu") for number in numbers.tolist())
