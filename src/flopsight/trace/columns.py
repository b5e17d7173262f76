"""What devices and threads did, as columns of equal length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]
"""An array of whole numbers; -1 where nothing was recorded."""

KERNEL_KINDS: Final = ("kernel", "copy", "set", "range")
"""What a device did: computed, copied, filled memory, or stood inside an annotated range (no work of its own)."""
KERNEL, COPY, SET, RANGE = range(4)
HOST_KINDS: Final = ("op", "call", "python", "range", "wait", "overhead")
"""What a thread did: a framework's op, a call of the driver or runtime, a Python function, an annotated range, a wait
of the device that the profiler recorded (cuda_sync), or the profiler's own work."""
OP, CALL, PYTHON, HOST_RANGE, WAIT, OVERHEAD = range(6)


@dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """Activities of devices, one a row, in the order of the file.

    start, end   ns; end < start where the duration is not known
    device       index into Trace.devices
    stream       queue or stream as the file names it
    name         index into Trace.names
    kind         index into KERNEL_KINDS
    correlation  number that joins it to the call that launched it
    host         row of Trace.host that launched it (a call, or an op where the file records no calls)
    external     number of the framework's op, where the file gives it directly
    bytes        moved by a copy or fill
    graph        node of a CUDA or HIP graph
    origin       row of Trace.host of the op whose captured work it repeats (achieved.graphs fills it)
    collective   index into Trace.collectives
    grid, block  [n, 3] blocks of the launch and threads of a block
    """

    start: Ints
    end: Ints
    device: Ints
    stream: Ints
    name: Ints
    kind: Ints
    correlation: Ints
    host: Ints
    external: Ints
    bytes: Ints
    graph: Ints
    origin: Ints
    collective: Ints
    grid: Ints
    block: Ints

    @classmethod
    def of(cls, **columns: Any) -> Kernels:
        """Rows from the columns that a reader has; the others are -1 (kind: kernel, device: 0).

        Raises ValueError where a column has another length than `start`, and TypeError for a column that is none.
        """
        return cls(**_filled(columns, _KERNELS, {"kind": KERNEL, "device": 0}))

    def __len__(self) -> int:
        return len(self.start)

    @property
    def duration(self) -> Ints:
        """ns; 0 where it is not known (see `timed`)."""
        return np.asarray(np.maximum(self.end - self.start, 0))

    @property
    def timed(self) -> Ints:
        """Where the duration is known."""
        return np.asarray(self.end >= self.start)

    def at(self, rows: Any) -> Kernels:
        """These rows only: a mask or indices."""
        return Kernels(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """What threads did, one event a row, in the order of the file.

    start, end   ns
    thread       index into Trace.threads
    name         index into Trace.names
    kind         index into HOST_KINDS
    correlation  of a call: number that its device activity carries too
    external     number of the op, which calls inside of it may repeat
    sequence     number that a forward op and its backward share
    record       number that joins it to an execution trace (rf_id)
    signature    index into Trace.signatures
    launched     index into Trace.names: the kernel that a call launched, where the file says it there
    parent       row of the innermost event of this thread around it, of any kind (nesting.nested fills it)
    """

    start: Ints
    end: Ints
    thread: Ints
    name: Ints
    kind: Ints
    correlation: Ints
    external: Ints
    sequence: Ints
    record: Ints
    signature: Ints
    launched: Ints
    parent: Ints

    @classmethod
    def of(cls, **columns: Any) -> Host:
        """Rows from the columns that a reader has; the others are -1 (kind: op, thread: 0)."""
        return cls(**_filled(columns, _HOST, {"kind": OP, "thread": 0}))

    def __len__(self) -> int:
        return len(self.start)


_KERNELS: Final = {
    "start": np.int64, "end": np.int64, "device": np.int32, "stream": np.int64, "name": np.int32, "kind": np.int8,
    "correlation": np.int64, "host": np.int32, "external": np.int64, "bytes": np.int64, "graph": np.int64,
    "origin": np.int32, "collective": np.int32, "grid": np.int32, "block": np.int32,
}  # fmt: skip
_HOST: Final = {
    "start": np.int64, "end": np.int64, "thread": np.int32, "name": np.int32, "kind": np.int8, "correlation": np.int64,
    "external": np.int64, "sequence": np.int64, "record": np.int64, "signature": np.int32,
    "launched": np.int32, "parent": np.int32,
}  # fmt: skip
_THREE: Final = ("grid", "block")


def _filled(columns: dict[str, Any], types: dict[str, Any], usual: dict[str, int]) -> dict[str, Ints]:
    unknown = set(columns) - set(types)
    if unknown:
        raise TypeError(f"no such column: {', '.join(sorted(unknown))}")
    size = len(columns.get("start", ()))
    return {name: _column(name, columns.get(name), dtype, size, usual) for name, dtype in types.items()}


def _column(name: str, values: Sequence[int] | Ints | None, dtype: Any, size: int, usual: dict[str, int]) -> Ints:
    if values is None:
        shape = (size, 3) if name in _THREE else (size,)
        return np.full(shape, usual.get(name, -1), dtype)
    found = np.asarray(values, dtype)
    if name in _THREE:
        found = found.reshape(-1, 3)
    if len(found) != size:
        raise ValueError(f"column {name} has {len(found)} rows, start has {size}")
    return found
