"""READER of XSpace files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits, whole
from flopsight.readers.protobuf import BYTES, fields
from flopsight.readers.reader import Head
from flopsight.readers.xplane import device, gpu, host, tpu
from flopsight.readers.xplane.assemble import Parts, assembled
from flopsight.readers.xplane.rows import Rows
from flopsight.readers.xplane.space import Plane, Space, space
from flopsight.trace import Device, Trace, Unread

MOST: Final = 2 << 30
"""Bytes: what a protocol buffer can hold."""
PLANES: Final = re.compile(r"/(host|device|task):|#Chip|Task Environment|Host CPUs|Syscalls")
GPU: Final = re.compile(r"/device:GPU:(\d{1,9})")
TPU: Final = re.compile(r"/device:TPU:(\d{1,9})$")
THREADS: Final = ("/host:CPU", "/host:CUPTI", "/host:ROCTRACER", "/host:python-tracer", "/host:TPU-runtime")
METADATA, TASK = "/host:metadata", "Task Environment"


@dataclass(frozen=True, slots=True)
class XPlane:
    """Profiles of JAX, TensorFlow and PyTorch/XLA: one XSpace message."""

    name: str = "xplane"
    title: str = "XLA profiles (xplane.pb)"

    def recognises(self, head: Head) -> bool:
        """By a first plane that begins with its number and name."""
        found = fields(head.text[:4096])
        if not found.rows or found.rows[0][:2] != (1, BYTES):
            return False
        plane = fields(head.text, *found.rows[0][2:])
        return bool(PLANES.match(plane.text(head.text, 2)))

    def read(self, path: Path, limits: Limits) -> Trace:
        """All planes of devices and threads; BadFile where there is not one event."""
        read = space(whole(path, limits, MOST))
        rows = Rows()
        devices: list[Device] = []
        for plane in read.planes:
            found = _put(plane, len(devices), rows)
            devices += [found] if found else []
        parts = assembled(rows, tuple(devices))
        if not len(parts["kernels"]) and not len(parts["host"]):
            raise BadFile(f"{path} holds no event of an XLA profile ({_why(read)}); record it again.")
        return _trace(path, read, rows, parts)


def _put(plane: Plane, index: int, rows: Rows) -> Device | None:
    """The rows of one plane, and its device."""
    rows.leave(f"the end of the plane {plane.name!r}", int(bool(plane.damage)), plane.damage)
    on_gpu, on_tpu = GPU.match(plane.name), TPU.match(plane.name)
    if on_gpu:
        gpu.put(plane, index, rows)
        return device.gpu(int(on_gpu[1]), plane.stats().plain())
    if on_tpu:
        tpu.put(plane, index, rows)
        return device.tpu(int(on_tpu[1]), plane.stats().plain())
    if plane.name in THREADS:
        host.put(plane, rows)
    elif plane.name == METADATA:
        rows.leave("compiled programs (HLO)", len(plane.parts.parts(4)), "not used")
    elif plane.name != TASK:
        count = sum(len(events) for line in rows.lines(plane) for events in line.events())
        rows.leave(f"events of the plane {plane.name!r}", count, "not used")
    return None


def _trace(path: Path, read: Space, rows: Rows, parts: Parts) -> Trace:
    said = tuple(f"The profiler says: {one}" for one in read.errors)
    cut = (Unread("the end of the file", 1, read.damage),) if read.damage else ()
    parts["notes"] = (*said, *parts["notes"])
    return Trace(source=str(path), format="xplane", marks=_marks(read, rows), unread=(*rows.unread(), *cut), **parts)


def _marks(read: Space, rows: Rows) -> dict[str, Any]:
    """What the file says of the run; `hlo_ops` are the (program, op, framework's name) that `external` points to."""
    found: dict[str, Any] = {}
    for plane in read.planes:
        if plane.name in (METADATA, TASK):
            found |= {name: value for name, value in plane.stats().plain().items() if name and name.isprintable()}
    found.pop("profile_options", None)
    if read.hosts:
        found["hosts"] = read.hosts
    return found | {"hlo_ops": tuple(rows.ops)}


def _why(read: Space) -> str:
    return read.damage or "; ".join(read.errors[:3]) or f"{len(read.planes)} planes, all empty"


READER: Final = XPlane()
