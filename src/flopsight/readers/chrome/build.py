"""Rows of events -> columns, piece by piece; which of them are a device's is known by the names of processes."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import numpy as np

from flopsight.readers.chrome.rows import COUNTERS, MOMENTS, NO_ARGS, PAIRS, Args, Complete, Meta, Text
from flopsight.readers.chrome.tracks import Track, track
from flopsight.readers.xplane import details, hlo
from flopsight.readers.xplane.loops import encloses
from flopsight.readers.xplane.rows import Rows, framework
from flopsight.trace import Device
from flopsight.trace.columns import CALL, COPY, HOST_RANGE, KERNEL, OP, PYTHON, RANGE, SET

FURTHEST: Final = 9.2e15
"""Microseconds that still fit in 64-bit nanoseconds."""
MOST_TRACKS: Final = 20_000
"""As many threads and streams are read."""
VENDORS: Final = {"TPU": "google"}
Key = tuple[int | str, int | str]


class Build:
    """Takes rows in and gives gathered rows out."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.processes: dict[int | str, str] = {}
        self.thread_names: dict[Key, str] = {}
        self.keys: dict[Key, int] = {}
        self.columns: dict[str, list[Any]] = defaultdict(list)
        self.events = 0

    def add(self, piece: Sequence[Any]) -> None:
        """One piece."""
        complete = [one for one in piece if one.__class__ is Complete]
        for one in piece:
            if one.__class__ is Meta:
                self._name(one)
        self.events += len(complete)
        counts = Counter(one.__class__ for one in piece)
        for kinds, what in ((MOMENTS, "moments"), (COUNTERS, "values of counters"), (PAIRS, "begin and end pairs")):
            self.rows.leave(what, sum(counts[kind] for kind in kinds), "not used")
        if complete:
            self._gather(complete)

    def _name(self, one: Meta) -> None:
        text = _text(one.args.name)
        if one.name == "process_name":
            self.processes[one.pid] = text
        elif one.name == "thread_name":
            self.thread_names[one.pid, one.tid] = text

    def _gather(self, events: list[Complete]) -> None:
        """Everything that events may be, whatever they turn out to be."""
        add, names, keys, size = self.columns, self.rows.names, self.keys, len(events)
        start, end, good = _times(events)
        track = (keys.setdefault((one.pid, one.tid), len(keys)) for one in events)
        add["good"].append(good)
        add["start"].append(start)
        add["end"].append(end)
        add["track"].append(np.fromiter(track, np.int64, size))
        add["name"].append(np.fromiter(map(names.__getitem__, map(_stepped, events)), np.int32, size))
        add["python"].append(np.fromiter((one.name.startswith("$") for one in events), bool, size))
        told = [row for row, one in enumerate(events) if one.args is not NO_ARGS]
        for column, values in self._arguments([events[row] for row in told]).items():
            add[column].append(_spread(values, told, size))

    def _arguments(self, events: list[Complete]) -> dict[str, Any]:
        """What only events with arguments have."""
        args, size = [one.args for one in events], len(events)
        found = {
            "external": np.fromiter(map(self._op, events), np.int64, size),
            "collective": np.fromiter(map(self._collective, events), np.int64, size),
        }
        for column, of in _WHOLE.items():
            found[column] = np.fromiter(map(of, args), np.int64, size)
        for column, shape in _SHAPES.items():
            found[column] = np.array([shape(_text(one.kernel)) for one in args], np.int64).reshape(-1, 3)
        for column in ("flops", "bytes_accessed", "model_flops"):
            found[column] = np.fromiter(map(_float, map(attrgetter(column), args)), np.float64, size)
        return found

    def _op(self, one: Complete) -> int:
        """The number of its op; on a TPU the event is the op."""
        args = one.args
        if args.op is None and args.scope is None and args.text is None:
            return -1
        op = _text(args.op) or one.name
        return self.rows.numbered((_text(args.module), op, framework(_text(args.scope), _text(args.name))))

    def _collective(self, one: Complete) -> int:
        if one.args.text is None and one.args.category is None:
            return -1
        text, category = _text(one.args.text), _text(one.args.category)
        found = hlo.collective(text if " = " in text else one.name, category)
        return -1 if found is None else self.rows.collectives.setdefault(found, len(self.rows.collectives))

    def put(self) -> tuple[Device, ...]:
        """Gives every event to its device or thread, and returns the devices."""
        columns = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        devices: dict[tuple[int | str, str, int], int] = {}
        texts = self.rows.names.texts()
        order = np.argsort(columns["track"], kind="stable")
        cuts = np.searchsorted(columns["track"][order], np.arange(min(len(self.keys), MOST_TRACKS) + 1))
        self.rows.leave("events of more threads", len(order) - int(cuts[-1]), f"more than {MOST_TRACKS:,} threads")
        for key, low, high in zip(self.keys, cuts.tolist(), cuts[1:].tolist(), strict=False):
            mine = order[low:high]
            good = mine[columns["good"][mine]]
            self.rows.leave("events without a time that can be", len(mine) - len(good), "not used")
            found = track(*key, self.processes.get(key[0], ""), self.thread_names.get(key, ""))
            event = {name: values[good] for name, values in columns.items()}
            if not found.role:
                where = f"line {found.thread!r}" if found.device else f"process {found.process or key[0]!r}"
                self.rows.leave(f"events of the {where}", len(good), "not used")
            elif found.device is None:
                _put_host(self.rows, found, key, event)
            else:
                _put_device(self.rows, found, devices.setdefault(found.device, len(devices)), event, texts)
        return tuple(Device(number, vendor=VENDORS.get(kind, "")) for _, kind, number in devices)


def _put_host(rows: Rows, found: Track, key: Key, event: dict[str, Any]) -> None:
    calls, ops = event["correlation"] >= 0, event["op"] > 0
    rows.thread(
        kind=np.where(event["python"], PYTHON, np.where(calls, CALL, np.where(ops, OP, HOST_RANGE))),
        thread=np.full(len(calls), rows.threads[f"{found.process}/{found.thread or key[1]}"]), ordinal=event["ordinal"],
        **{name: event[name] for name in ("start", "end", "name", "correlation", "external")},
    )  # fmt: skip


def _put_device(rows: Rows, found: Track, device: int, event: dict[str, Any], texts: tuple[str, ...]) -> None:
    size = len(event["start"])
    kind, collective = _kinds(found, event), event["collective"]
    own = kind != RANGE
    costs = {name: np.where(own, event[name], np.nan) for name in ("flops", "bytes_accessed", "model_flops")}
    name = (
        _steps(rows, event["name"], texts) if found.role == "range" and found.thread == details.STEPS else event["name"]
    )
    rows.device(
        device=np.full(size, device), stream=np.full(size, found.stream), kind=kind, name=name,
        collective=np.where(own, collective, -1), **costs,
        **{name: event[name] for name in _AS_IS},
    )  # fmt: skip


def _kinds(found: Track, event: dict[str, Any]) -> Any:
    size = len(event["start"])
    if found.role == "range":
        return np.full(size, RANGE)
    if found.role == "ops":
        around = encloses(event["start"], event["end"], np.zeros(size, np.int32))
        return np.where(around, RANGE, KERNEL)
    if found.role == "async":
        return np.where(event["collective"] >= 0, KERNEL, COPY)
    return np.where(event["copied"] > 0, COPY, np.where(event["filled"] > 0, SET, KERNEL))


def _steps(rows: Rows, names: Any, texts: tuple[str, ...]) -> Any:
    return np.array([rows.names[f"{details.STEPS}#{texts[i]}"] for i in names.tolist()], np.int32)


def _times(events: list[Complete]) -> tuple[Any, Any, Any]:
    """Starts and ends in ns, and which are times."""
    start = np.fromiter((one.ts for one in events), np.float64, len(events))
    length = np.fromiter((one.dur for one in events), np.float64, len(events))
    good = (start >= -FURTHEST) & (start <= FURTHEST)
    start = np.where(good, start, 0)
    known = (length >= 0) & (start + length <= FURTHEST)
    whole = np.floor(start)  # a time since 1970 has no nanoseconds left in a float of them
    begin = whole.astype(np.int64) * 1000 + np.rint((start - whole) * 1000).astype(np.int64)
    lasted = np.rint(np.where(known, length, 0) * 1000).astype(np.int64)
    return begin, np.where(known, begin + lasted, begin - 1), good


def _spread(values: Any, rows: list[int], size: int) -> Any:
    """The values at their rows; not recorded elsewhere."""
    found = np.full((size, *values.shape[1:]), np.nan if values.dtype.kind == "f" else -1, values.dtype)
    found[rows] = values
    return found


def _text(value: Text) -> str:
    return "" if value is None else str(value)


def _stepped(one: Complete) -> str:
    return one.name if one.args.step is None else f"{one.name}#{one.args.step}"


@lru_cache(1 << 14)
def _number(value: Text) -> int:
    try:
        found = int(value) if value is not None else -1
    except (ValueError, OverflowError):
        return -1
    return found if -(2**63) <= found < 2**63 else -1


@lru_cache(1 << 14)
def _float(value: Text) -> float:
    try:
        return math.nan if value is None else float(value)
    except (ValueError, OverflowError):
        return math.nan


def _said(*values: Text) -> int:
    return int(any(value is not None for value in values))


_AS_IS: Final = ("start", "end", "correlation", "external", "bytes", "graph", "grid", "block")
_grid, _block = lru_cache(1 << 12)(details.grid), lru_cache(1 << 12)(details.block)
_SHAPES: Final[dict[str, Callable[[str], Iterable[int]]]] = {"grid": _grid, "block": _block}
_WHOLE: Final[dict[str, Callable[[Args], int]]] = {
    "correlation": lambda a: _number(a.correlation),
    "graph": lambda a: _number(a.node),
    "ordinal": lambda a: _number(a.ordinal),
    "op": lambda a: _said(a.op),
    "copied": lambda a: _said(a.copy),
    "filled": lambda a: _said(a.fill, a.old_fill),
    "bytes": lambda a: details.moved(_text(a.copy or a.fill or a.old_fill)),
}
