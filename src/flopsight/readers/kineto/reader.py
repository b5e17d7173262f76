"""READER of Kineto files."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from flopsight.errors import BadFile
from flopsight.readers.events import Events, unwatched
from flopsight.readers.kineto import header, ranges
from flopsight.readers.kineto.build import Build
from flopsight.readers.kineto.rows import DECODER, row
from flopsight.readers.limits import Limits, unpacked
from flopsight.readers.reader import Head
from flopsight.trace import Kernels, Trace, Unread

KEYS: Final = re.compile(rb'"(?:deviceProperties|distributedInfo|traceEvents|schemaVersion)"\s*:')
EVENT: Final = re.compile(
    rb'"cat"\s*:\s*"(?:kernel|cpu_op|cuda_runtime|cuda_driver|hip_runtime|user_annotation|gpu_memcpy|gpu_memset'
    rb'|python_function|cpu_instant_event|gpu_user_annotation|xpu_runtime|mtia_runtime|ac2g|Kernel|Operator|Runtime)"',
)
OTHERS: Final = re.compile(rb'"highres-ticks"|"otherData"\s*:\s*\{\s*"unitrace')


@dataclass(frozen=True, slots=True)
class Kineto:
    """torch.profiler's Chrome JSON."""

    name: str = "kineto"
    title: str = "PyTorch profiler (Kineto) traces"

    def recognises(self, head: Head) -> bool:
        """By a category of event that only it writes, or by the keys around a long header."""
        text = head.text.lstrip()
        if text[:1] not in (b"{", b"["):
            return False
        return bool(EVENT.search(text)) or (
            b'"deviceProperties"' in text and bool(KEYS.search(text)) and not OTHERS.search(text)
        )

    def read(self, path: Path, limits: Limits) -> Trace:
        """All events; BadFile where there is not one."""
        with unpacked(path, limits) as source, unwatched():
            events: Events[Any] = Events(source, DECODER, row)
            build, counted = Build(), ranges.Ranges()
            for piece in events.pieces():
                build.add(piece)
            if build.counted:
                counted = ranges.read(path, limits)
        return _trace(path, build, events, counted)


def _trace(path: Path, build: Build, events: Events[Any], counted: ranges.Ranges) -> Trace:
    kernels, host = build.columns()
    losses = events.losses
    if not len(kernels) and not len(host):
        why = losses.cut or losses.first or "it has no events of a known category"
        raise BadFile(f"{path} holds no event of a PyTorch profile ({why}); export it with export_chrome_trace again.")
    numbers, kernels = _numbered(kernels)
    lost = [Unread("events that are not whole", losses.broken, losses.first)] if losses.broken else []
    if losses.cut:
        lost.append(Unread("the end of the file", 1, losses.cut))
    return Trace(
        source=str(path), format="kineto", devices=header.devices(events.around, numbers),
        names=build.names.texts(), kernels=kernels, host=host, threads=build.threads.texts(),
        signatures=build.signatures.parsed(), collectives=build.collectives(), metrics=counted.metrics(kernels),
        rank=header.place(events.around, "rank"), world=header.place(events.around, "world_size"),
        marks=header.marks(events.around), unread=(*build.unread(), *lost),
    )  # fmt: skip


def _numbered(kernels: Kernels) -> tuple[list[int], Kernels]:
    """The file's device numbers in order, and the columns with indices for them."""
    numbers, index = np.unique(kernels.device, return_inverse=True)
    return numbers.tolist(), replace(kernels, device=index.astype(np.int32))


READER: Final = Kineto()
