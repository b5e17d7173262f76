"""A device's time in a window, split exactly: every nanosecond belongs to one kind of work or one cause of idleness.

Where activities overlap, an instant counts for the first of: computing (by kind, in the order of KINDS), communication
(then it is exposed), copying (exposed too). What is left is idle, and the activity that ends a gap tells why it began
no earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from flopsight.achieved.attribution import Attribution
from flopsight.achieved.windows import Window
from flopsight.achieved.work import Work
from flopsight.kernels import communication_of, kind_of
from flopsight.trace import Kernels, Trace
from flopsight.trace.columns import CALL, COPY, HOST_RANGE, KERNEL, OP, RANGE, SET, Ints
from flopsight.trace.intervals import NONE, Intervals, union

KINDS: Final = (
    "gemm", "attention", "convolution", "moe", "scan", "normalization", "softmax", "elementwise", "reduction",
    "embedding", "index", "random", "optimizer", "quantization", "sort", "copy", "fused", "other",
)  # fmt: skip
COMMUNICATION, COPIES = "communication, exposed", "copies, exposed"
LAUNCH, SYNC, DATA = "idle: the host had not launched", "idle: the host was synchronizing", "idle: waiting for data"
QUEUE, COPY_CALL = "idle: launched, not yet begun", "idle: the host was copying"
UNKNOWN = "idle: cause not recorded"
EDGE = "idle: before the first or behind the last activity"
CAUSES: Final = (LAUNCH, SYNC, DATA, COPY_CALL, QUEUE, EDGE, UNKNOWN)


@dataclass(frozen=True, slots=True)
class DeviceTime:
    """One device in one window; all in ns.

    parts     {kind or cause: time}, which add up to `window` exactly
    busy      union of kernels, copies and fills
    hidden    {"communication": under computing, "copies": under computing or communication}
    kernels   how many; `kernel_sum` their durations added up, overlaps twice
    streams   {stream: busy time}
    untimed   kernels whose duration the file does not know; they are in no time
    """

    device: int
    window: int
    parts: dict[str, int]
    busy: int
    communication: int
    hidden: dict[str, int]
    kernels: int
    kernel_sum: int
    streams: dict[int, int]
    untimed: int
    talking: int = 0

    @property
    def idle(self) -> int:
        """window - busy."""
        return self.window - self.busy

    @property
    def exposed(self) -> int:
        """Communication that no computing hides."""
        return self.communication - self.hidden["communication"]


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """By kernel: its kind as an index into KINDS, -1 for what is no computing; and whether it communicates.

    host   when a thread was loading data, synchronizing or copying, by cause of idleness
    """

    kind: Ints
    communicates: Ints
    host: tuple[tuple[str, Intervals], ...]


MULTIPLIES: Final = tuple(KINDS.index(kind) for kind in ("gemm", "attention", "convolution", "moe"))
"""Kinds whose kernels multiply matrices."""
OPEN: Final = tuple(KINDS.index(kind) for kind in ("other", "fused"))


def label(trace: Trace, work: Work, owner: Ints) -> Labels:
    """What every kernel is, from its name (each name is looked at once); where that says nothing, from its op."""
    kernels = trace.kernels
    texts = (*trace.names, "")
    talks = np.array([communication_of(n) is not None for n in texts], bool)
    places = {kind: i for i, kind in enumerate(KINDS)}
    kinds = np.array([places.get(str(kind_of(n)), OPEN[0]) for n in texts], np.int8)
    computes = kernels.kind == KERNEL
    communicates = computes & (talks[kernels.name] | (kernels.collective >= 0))
    kind = kinds[kernels.name]
    by_op = np.array([places.get(c.kind, -1) for c in work.kinds] + [-1], np.int8)[np.append(work.kind, -1)[owner]]
    kind = np.where(np.isin(kind, OPEN) & (by_op >= 0), by_op, kind)
    host = tuple((cause, _named(trace, words)) for cause, words in WORDS)
    return Labels(np.where(computes & ~communicates, kind, -1), communicates, host)


def device_time(trace: Trace, found: Attribution, labels: Labels, window: Window, device: int) -> DeviceTime:
    """Split one device's time in a window."""
    kernels = trace.kernels
    mine = (kernels.device == device) & (kernels.kind != RANGE)
    mine &= (kernels.start < window.end) & (kernels.end > window.start) | ~kernels.timed
    untimed = int((mine & ~kernels.timed).sum())
    mine &= kernels.timed
    rows = np.flatnonzero(mine)
    parts, covered = _work(kernels, labels, rows, window)
    talk = _covered(kernels, rows[labels.communicates[rows]], window)
    copies = _covered(kernels, rows[np.isin(kernels.kind[rows], (COPY, SET))], window)
    computing = covered
    parts[COMMUNICATION] = (talk - computing).length
    parts[COPIES] = (copies - (computing | talk)).length
    busy = computing | talk | copies
    parts |= idle_causes(trace, found, labels, rows, busy, window)
    starts = rows[kernels.kind[rows] == KERNEL]
    return DeviceTime(
        device=device, window=window.length, parts={k: n for k, n in parts.items() if n}, busy=busy.length,
        communication=talk.length,
        hidden={"communication": (talk & computing).length, "copies": (copies & (computing | talk)).length},
        talking=int(labels.communicates[rows].sum()), kernels=len(starts),
        kernel_sum=int(kernels.duration[starts].sum()), untimed=untimed,
        streams={int(s): _covered(kernels, rows[kernels.stream[rows] == s], window).length
                 for s in np.unique(kernels.stream[rows])[:64]},
    )  # fmt: skip


def _work(kernels: Kernels, labels: Labels, rows: Ints, window: Window) -> tuple[dict[str, int], Intervals]:
    parts: dict[str, int] = {}
    covered = NONE
    for number, kind in enumerate(KINDS):
        mine = rows[labels.kind[rows] == number]
        if len(mine):
            before = covered.length
            covered = covered | _covered(kernels, mine, window)
            parts[kind] = covered.length - before
    return parts, covered


def _covered(kernels: Kernels, rows: Ints, window: Window) -> Intervals:
    return union(np.maximum(kernels.start[rows], window.start), np.minimum(kernels.end[rows], window.end))


def idle_causes(
    trace: Trace, found: Attribution, labels: Labels, rows: Ints, busy: Intervals, window: Window
) -> dict[str, int]:  # fmt: skip
    """{cause: time} of a device's gaps.

    A gap ends when some activity begins. Until its launch call began, the host is the cause: what it did meanwhile
    says whether it was synchronizing, copying or waiting for data. From then on the activity was in the queue.
    """
    if not len(busy):
        return {EDGE if len(rows) else UNKNOWN: window.length}
    parts = {EDGE: int(busy.start[0]) - window.start + window.end - int(busy.end[-1])}
    gaps = busy.gaps()
    if not len(gaps):
        return parts
    kernels = trace.kernels
    order = rows[np.argsort(kernels.start[rows], kind="stable")]
    first = order[np.searchsorted(kernels.start[order], gaps.end)]
    call = found.call[first]
    known = call >= 0
    begun = gaps.start.copy()
    begun[known] = trace.host.start[call[known]]
    late = np.clip(begun, gaps.start, gaps.end)
    lasted = gaps.end - gaps.start
    parts[UNKNOWN] = int(lasted[~known].sum())
    parts[QUEUE] = int((gaps.end - late)[known].sum())
    return parts | _host_causes(labels, gaps.start[known], late[known])


def _host_causes(labels: Labels, start: Ints, end: Ints) -> dict[str, int]:
    """What the host was doing while the device had nothing to do, by the first that holds: data, sync, copy, launch."""
    parts = {LAUNCH: int((end - start).sum())}
    taken = NONE
    for cause, mine in labels.host:
        spent = int(((taken | mine).overlap(start, end) - taken.overlap(start, end)).sum())
        taken = taken | mine
        parts[cause] = spent
        parts[LAUNCH] -= spent
    return parts


WORDS_SYNC: Final = (
    "cudadevicesynchronize", "cudastreamsynchronize", "cudaeventsynchronize", "hipdevicesynchronize",
    "hipstreamsynchronize", "hipeventsynchronize", "custreamsynchronize", "cuctxsynchronize", "cueventsynchronize",
    "aten::item", "aten::_local_scalar_dense", "zeeventhostsynchronize", "zecommandqueuesynchronize", "aten::nonzero",
)  # fmt: skip
WORDS_DATA: Final = ("dataloader", "data_loading", "get_batch", "next_batch")
WORDS_COPY: Final = (
    "cudamemcpy", "hipmemcpy", "cumemcpy", "aten::to", "aten::copy_", "aten::_to_copy", "hipmemcpywithstream",
)  # fmt: skip


WORDS: Final = ((DATA, WORDS_DATA), (SYNC, WORDS_SYNC), (COPY_CALL, WORDS_COPY))


def _named(trace: Trace, words: tuple[str, ...]) -> Intervals:
    """When a thread was in an op, call or range of one of these names."""
    right = np.array([_says(name.lower(), words) for name in (*trace.names, "")], bool)
    host = trace.host
    rows = right[host.name] & np.isin(host.kind, (OP, CALL, HOST_RANGE))
    return union(host.start[rows], host.end[rows])


def _says(name: str, words: tuple[str, ...]) -> bool:
    """Ops by their whole name, calls by their beginning (they end in versions), loaders by any part."""
    if words is WORDS_DATA:
        return any(word in name for word in words)
    return any(name == word if word.startswith("aten::") else name.startswith(word) for word in words)
