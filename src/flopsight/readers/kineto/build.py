"""Rows of events -> columns, piece by piece."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np

from flopsight.readers.kineto.rows import PAIRS, Args, Complete, Instant
from flopsight.readers.kineto.signatures import Signatures
from flopsight.trace import Collective, Host, Kernels, Names, Unread
from flopsight.trace.columns import CALL, COPY, HOST_RANGE, KERNEL, OP, OVERHEAD, PYTHON, RANGE, SET, WAIT

RANGES: Final = "cuda_profiler_range"
DEVICE_KINDS: Final = {
    "kernel": KERNEL, "concurrent_kernel": KERNEL, "mtia_ccp_events": KERNEL, "mtia_insight": KERNEL, "hpu_op": KERNEL,
    "gpu_memcpy": COPY, "memcpy": COPY, "gpu_memset": SET, "memset": SET, "gpu_user_annotation": RANGE,
    RANGES: RANGE,
}  # fmt: skip
"""Categories of what a device did, lower-case: traces of before 2022 capitalise them."""
HOST_KINDS: Final = {
    "cpu_op": OP, "operator": OP, "cuda_runtime": CALL, "cuda_driver": CALL, "hip_runtime": CALL, "runtime": CALL,
    "mtia_runtime": CALL, "xpu_runtime": CALL, "xpu_driver": CALL, "privateuse1_runtime": CALL,
    "privateuse1_driver": CALL, "python_function": PYTHON, "user_annotation": HOST_RANGE, "cuda_sync": WAIT,
    "overhead": OVERHEAD,
}  # fmt: skip
OWN: Final = {"trace"}
"""The profiler's own span."""
FURTHEST: Final = 9.2e15
"""Microseconds that still fit in 64-bit nanoseconds."""
_int64, _int32 = np.int64, np.int32


class Build:
    """Takes rows in and gives columns out."""

    def __init__(self) -> None:
        self.names, self.threads, self.signatures = Names(), _Threads(), Signatures()
        self.groups: dict[tuple[Any, ...], int] = {}
        self.kernels: dict[str, list[Any]] = defaultdict(list)
        self.host: dict[str, list[Any]] = defaultdict(list)
        self.unused: Counter[str] = Counter()
        self.odd: Counter[str] = Counter()
        self.counted = False

    def add(self, rows: Sequence[Any]) -> None:
        """One piece."""
        complete = [one for one in rows if one.__class__ is Complete]
        if len(complete) < len(rows):
            self._others(rows)
        kinds: dict[str, list[Complete]] = defaultdict(list)
        for one in complete:
            kinds[one.cat].append(one)
        for cat, mine in kinds.items():
            self._category(cat, mine)

    def _others(self, rows: Sequence[Any]) -> None:
        classes = [one.__class__ for one in rows]
        self.unused["moments (memory and marks)"] += classes.count(Instant)
        self.odd["begin and end pairs"] += sum(classes.count(pair) for pair in PAIRS)

    def _category(self, cat: str, rows: list[Complete]) -> None:
        low = cat.lower()
        self.counted |= low == RANGES
        if low in DEVICE_KINDS:
            self._device(DEVICE_KINDS[low], rows)
        elif low in HOST_KINDS:
            self._thread(HOST_KINDS[low], rows)
        elif low not in OWN:
            self.odd[f"events of the category {cat!r}"] += len(rows)

    def _times(self, rows: list[Complete]) -> tuple[list[Complete], Any, Any]:
        """Rows whose start is a time, their starts and their ends in ns."""
        start = np.fromiter(map(_ts, rows), np.float64, len(rows))
        length = np.fromiter(map(_dur, rows), np.float64, len(rows))
        good = (start >= -FURTHEST) & (start <= FURTHEST)
        if not good.all():
            self.odd["events without a time that can be"] += int((~good).sum())
            rows = [one for one, keep in zip(rows, good.tolist(), strict=True) if keep]
            start, length = start[good], length[good]
        fine = (length >= 0) & (start + length <= FURTHEST)
        if not fine.all():
            self.odd["events without a duration that can be (kept, of unknown length)"] += int((~fine).sum())
        whole = np.floor(start)  # a time since 1970 has no nanoseconds left in a float of them
        begin = whole.astype(_int64) * 1000 + np.rint((start - whole) * 1000).astype(_int64)
        lasted = np.rint(np.where(fine, length, 0) * 1000).astype(_int64)
        return rows, begin, np.where(fine, begin + lasted, begin - 1)

    def _device(self, kind: int, rows: list[Complete]) -> None:
        rows, start, end = self._times(rows)
        args = [one.args for one in rows]
        add = self.kernels
        add["start"].append(start)
        add["end"].append(end)
        add["name"].append(self.names.of(map(_name, rows)))
        add["kind"].append(np.full(len(rows), kind, np.int8))
        add["device"].append(np.fromiter(map(_device_of, rows), _int64, len(rows)))
        add["stream"].append(_numbers(list(map(_stream, args))))
        add["correlation"].append(np.fromiter(map(_correlation, args), _int64, len(rows)))
        add["external"].append(np.fromiter(map(_external, args), _int64, len(rows)))
        add["graph"].append(np.fromiter(map(_node, args), _int64, len(rows)))
        add["bytes"].append(_numbers(list(map(_bytes, args))))
        add["collective"].append(np.fromiter(map(self._collective, args), _int32, len(rows)))
        add["grid"].append(_threes([a.grid for a in args]))
        add["block"].append(_threes([a.block for a in args]))

    def _thread(self, kind: int, rows: list[Complete]) -> None:
        rows, start, end = self._times(rows)
        args = list(map(_args, rows))
        add, size = self.host, len(rows)
        add["start"].append(start)
        add["end"].append(end)
        add["name"].append(self.names.of(map(_name, rows)))
        add["kind"].append(np.full(size, kind, np.int8))
        add["thread"].append(self.threads.of(rows))
        op = kind in (OP, HOST_RANGE)
        for name, field, wanted in (
            ("external", _external, op), ("sequence", _sequence, op), ("record", _record, op),
            ("correlation", _correlation, not op and kind != PYTHON),
        ):  # fmt: skip
            values = np.fromiter(map(field, args), _int64, size) if wanted else np.full(size, -1, _int64)
            add[name].append(values)
        add["signature"].append(self.signatures.of(args) if op else np.full(size, -1, _int32))
        add["launched"].append(self._launched(args) if kind == CALL else np.full(size, -1, _int32))

    def _launched(self, args: list[Args]) -> Any:
        names = list(map(_kernel, args))
        if not any(names):
            return np.full(len(args), -1, _int32)
        return np.fromiter((self.names[name] if name else -1 for name in names), _int32, len(args))

    def _collective(self, args: Args) -> int:
        if not args.collective:
            return -1
        key = (args.collective, args.sent, args.received, args.dtype, args.ranks, args.group)
        return self.groups.setdefault(key, len(self.groups))

    def columns(self) -> tuple[Kernels, Host]:
        """All columns; `Kernels.device` still holds the file's own numbers."""
        return Kernels.of(**_joined(self.kernels)), Host.of(**_joined(self.host))

    def collectives(self) -> tuple[Collective, ...]:
        """All collectives, by number."""
        return tuple(
            Collective(kind.lower(), _said(sent), _said(received), str(dtype), _said(ranks), group)
            for kind, sent, received, dtype, ranks, group in self.groups
        )

    def unread(self) -> tuple[Unread, ...]:
        """What was met and is in no column."""
        unused = (Unread(what, n, "not used") for what, n in self.unused.items() if n)
        return (*unused, *(Unread(what, n, "not understood") for what, n in self.odd.items() if n))


class _Threads(dict[tuple[Any, Any], int]):
    def __missing__(self, key: tuple[Any, Any]) -> int:
        self[key] = number = len(self)
        return number

    def of(self, rows: list[Complete]) -> Any:
        return np.fromiter(map(self.__getitem__, zip(map(_pid, rows), map(_tid, rows))), _int32, len(rows))  # noqa: B905

    def texts(self) -> tuple[str, ...]:
        return tuple(f"{pid}/{tid}" for pid, tid in self)


_ts, _dur, _name, _args = attrgetter("ts"), attrgetter("dur"), attrgetter("name"), attrgetter("args")
_pid, _tid = attrgetter("pid"), attrgetter("tid")
_correlation, _external, _node = attrgetter("correlation"), attrgetter("external"), attrgetter("node")
_stream, _bytes, _kernel = attrgetter("stream"), attrgetter("bytes"), attrgetter("kernel")
_sequence, _record = attrgetter("sequence"), attrgetter("record")


def _device_of(one: Complete) -> int:
    device = one.args.device
    return device if device >= 0 else _number(one.pid)


def _numbers(values: list[Any]) -> Any:
    """Whole numbers of a column; most files have nothing else in it."""
    try:
        return np.array(values, _int64) if values else np.empty(0, _int64)
    except (ValueError, TypeError, OverflowError):
        return np.fromiter(map(_number, values), _int64, len(values))


def _number(value: Any) -> int:
    """A whole number that may stand in a text; -1 where there is none."""
    if value.__class__ is int:
        return int(value)
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return -1


def _said(value: int) -> int | None:
    return None if value < 0 else value


def _joined(columns: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: np.concatenate(parts) for name, parts in columns.items()} or {"start": ()}


def _threes(raws: list[msgspec.Raw]) -> Any:
    """Grids or blocks: few different ones, parsed once each."""
    texts = [bytes(raw) for raw in raws]
    kinds = {text: _three(text) for text in set(texts)}
    return np.array([kinds[text] for text in texts], _int32).reshape(-1, 3)


def _three(text: bytes) -> tuple[int, ...]:
    try:
        found = msgspec.json.decode(text, type=list[int])
    except msgspec.MsgspecError:
        return (-1, -1, -1)
    return tuple(found) if len(found) == 3 and all(0 <= n < 2**31 for n in found) else (-1, -1, -1)
