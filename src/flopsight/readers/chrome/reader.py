"""READER of XLA's Chrome traces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopsight.errors import BadFile
from flopsight.readers.chrome.build import Build
from flopsight.readers.chrome.rows import DECODER, row
from flopsight.readers.events import Events, unwatched
from flopsight.readers.limits import Limits, unpacked
from flopsight.readers.reader import Head
from flopsight.readers.xplane.assemble import assembled
from flopsight.trace import Trace, Unread

TICKS: Final = re.compile(rb'"highres-ticks"\s*:\s*true')
PROCESS: Final = re.compile(rb'"name"\s*:\s*"/(?:host|device):')
MOST: Final = 1_000_000
"""As many events are written at most; of more, the longest."""
FULL: Final = (
    "Chrome traces of XLA hold at most 1,000,000 events, so short ones are missing: read the xplane.pb beside it."
)


@dataclass(frozen=True, slots=True)
class Chrome:
    """What JAX, TensorBoard and xprof write beside or from an xplane.pb: trace.json."""

    name: str = "chrome"
    title: str = "Chrome traces of XLA (trace.json)"

    def recognises(self, head: Head) -> bool:
        """By the mark of fine ticks and processes that are named as XLA's planes are."""
        return head.text.lstrip()[:1] == b"{" and bool(TICKS.search(head.text) and PROCESS.search(head.text))

    def read(self, path: Path, limits: Limits) -> Trace:
        """All events of devices and threads; BadFile where there is not one."""
        build = Build()
        with unpacked(path, limits) as source, unwatched():
            events: Events[Any] = Events(source, DECODER, row)
            for piece in events.pieces():
                build.add(piece)
        losses = events.losses
        parts = assembled(build.rows, build.put() if build.events else ())
        if not len(parts["kernels"]) and not len(parts["host"]):
            why = losses.cut or losses.first or "none of its processes is a device or a host of XLA"
            raise BadFile(f"{path} holds no event of an XLA profile ({why}); record it again, or read the xplane.pb.")
        lost = [Unread("events that are not whole", losses.broken, losses.first)] if losses.broken else []
        lost += [Unread("the end of the file", 1, losses.cut)] if losses.cut else []
        if build.events >= MOST:
            parts["notes"] = (*parts["notes"], FULL)
        return Trace(source=str(path), format="chrome", marks={"hlo_ops": tuple(build.rows.ops)},
                     unread=(*build.rows.unread(), *lost), **parts)  # fmt: skip


READER: Final = Chrome()
