"""Readers of traces as functions of bytes: a trace whose columns fit together, or a FlopsightError."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from flopsight.errors import FlopsightError
from flopsight.readers import Head, Limits
from flopsight.trace import Trace
from tests.fuzz.trace_files import READERS


def target(name: str) -> Callable[[bytes], None]:
    """Reads bytes as a file of this format, recognised or not."""
    place = Path(tempfile.mkdtemp()) / name

    def run(data: bytes) -> None:
        reader = import_module(f"flopsight.readers.{name}").READER
        place.write_bytes(data)
        reader.recognises(Head(name, data[: 64 << 10]))
        with contextlib.suppress(FlopsightError):
            check(reader.read(place, Limits(size=1 << 28)))

    return run


def check(trace: Trace) -> None:
    """What every trace promises: all indices lie inside what they point to."""
    kernels, host = trace.kernels, trace.host
    for column, size in (
        (kernels.name, len(trace.names)), (host.name, len(trace.names)), (host.thread, len(trace.threads)),
        (host.signature, len(trace.signatures)), (kernels.collective, len(trace.collectives)),
        (kernels.device, len(trace.devices)), (kernels.host, len(host)), (host.parent, len(host)),
    ):  # fmt: skip
        assert not len(column) or (column.min() >= -1 and column.max() < size)
    assert all(len(one.values) == len(kernels) for one in trace.metrics)
    assert all(one.count > 0 and one.why for one in trace.unread)


TARGETS = {f"trace-{name}": target(name) for name in READERS}
