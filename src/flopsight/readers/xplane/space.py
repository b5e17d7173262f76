"""An XSpace taken apart: planes, lines, events and what is said of them, as columns; nothing is interpreted here.

Field numbers are those of xplane.proto in openxla/xla, third_party/tsl/tsl/profiler/protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from flopsight.readers import protobuf
from flopsight.readers.protobuf import BYTES, Fields, fields, signed
from flopsight.readers.shredded import Shreds, repeated, shred
from flopsight.trace import Names
from flopsight.trace.columns import Ints

SPACE_PLANES, SPACE_ERRORS, SPACE_WARNINGS, SPACE_HOSTS = 1, 2, 3, 4
PLANE_ID, PLANE_NAME, PLANE_LINES, PLANE_EVENTS, PLANE_STAT_NAMES, PLANE_STATS = 1, 2, 3, 4, 5, 6
LINE_ID, LINE_NAME, LINE_TIMESTAMP, LINE_EVENTS, LINE_SHOWN = 1, 2, 3, 4, 11
EVENT_METADATA, EVENT_OFFSET, EVENT_DURATION, EVENT_STATS, EVENT_OCCURRENCES = 1, 2, 3, 4, 5
META_NAME, META_SHOWN, META_STATS = 2, 4, 5
STAT_METADATA, STAT_DOUBLE, STAT_UINT, STAT_INT, STAT_TEXT, STAT_BYTES, STAT_REF = range(1, 8)
MOST_PLANES: Final = 4096
CHUNK: Final = 1 << 15
"""Events whose fields are held as columns at a time."""

Texts = dict[int, str]


@dataclass(frozen=True, slots=True, eq=False)
class Stats:
    """Stats of many owners (events, kinds of events, or one plane), one a row.

    owner  which event or kind
    kind   number of the stat's name
    form   number of the field that holds the value, STAT_DOUBLE ... STAT_REF; 0 where there is none
    value  as in the file: a number, the bits of a double, the number of another name, or a place
    end    of a text the place behind it
    """

    data: bytes
    names: Mapping[int, str]
    owner: Ints
    kind: Ints
    form: Ints
    value: npt.NDArray[np.uint64]
    end: Ints

    def rows(self, name: str) -> Ints:
        """Rows of the stat with this name."""
        numbers = [number for number, text in self.names.items() if text == name]
        return np.flatnonzero(np.isin(self.kind, numbers))

    def numbers(self, name: str, size: int, default: int = -1) -> Ints:
        """By owner: the stat as a whole number; texts that hold one count too."""
        found = np.full(size, default, np.int64)
        rows = self.rows(name)
        plain = rows[np.isin(self.form[rows], (STAT_UINT, STAT_INT))]
        found[self.owner[plain]] = self.value[plain].view(np.int64)
        for row in rows[np.isin(self.form[rows], (STAT_TEXT, STAT_REF))].tolist():
            text = self.text(row)
            if text.lstrip("-").isascii() and text.lstrip("-").isdigit() and len(text) < 19:
                found[self.owner[row]] = int(text)
        return found

    def floats(self, name: str, size: int) -> npt.NDArray[np.float64]:
        """By owner: the stat as a number; NaN where there is none."""
        found = np.full(size, np.nan)
        rows = self.rows(name)
        for form, as_is in ((STAT_DOUBLE, np.float64), (STAT_UINT, np.uint64), (STAT_INT, np.int64)):
            mine = rows[self.form[rows] == form]
            found[self.owner[mine]] = self.value[mine].view(as_is)
        return found

    def coded(self, name: str, size: int) -> tuple[Ints, tuple[str, ...]]:
        """By owner: the number of the stat's text among the different ones, which follow; -1 where there is none."""
        texts, codes, rows = Names(), np.full(size, -1, np.int64), self.rows(name)
        refs = rows[self.form[rows] == STAT_REF]
        kinds, which = np.unique(self.value[refs], return_inverse=True)
        numbers = texts.of(self.names.get(kind, "") for kind in kinds.view(np.int64).tolist())
        codes[self.owner[refs]] = numbers[which]
        for row in rows[self.form[rows] != STAT_REF].tolist():
            codes[self.owner[row]] = texts[self.text(row)]
        return codes, texts.texts()

    def text(self, row: int) -> str:
        """The value of one row as a text."""
        form, value = int(self.form[row]), int(self.value[row])
        if form == STAT_REF:
            return self.names.get(value, "")
        if form == STAT_TEXT:
            return self.data[value : int(self.end[row])].decode("utf-8", "replace")
        if form == STAT_DOUBLE:
            return str(protobuf.double(value))
        return str(signed(value)) if form in (STAT_UINT, STAT_INT) else ""

    def plain(self) -> dict[str, float | str]:
        """All stats of one owner, by name; bytes are left out."""
        found: dict[str, float | str] = {}
        for row, (kind, form, value) in enumerate(zip(self.kind.tolist(), self.form.tolist(), self.value.tolist(),
                                                      strict=True)):  # fmt: skip
            name = self.names.get(kind, "")
            if form == STAT_DOUBLE:
                found[name] = protobuf.double(value)
            elif form in (STAT_UINT, STAT_INT):
                found[name] = value if form == STAT_UINT else signed(value)
            elif form:
                found[name] = self.text(row)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Events of one line, one a row; times in picoseconds after the line's timestamp."""

    metadata: Ints
    offset: Ints
    duration: Ints
    aggregated: npt.NDArray[np.bool_]
    broken: npt.NDArray[np.bool_]
    stats: Stats

    def __len__(self) -> int:
        return len(self.metadata)


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line of a plane: its number, name, time of its zero in ns, where its events are, why its end is missing."""

    id: int
    name: str
    timestamp: int
    plane: Plane
    low: Ints
    high: Ints
    damage: str

    def events(self) -> Iterator[Events]:
        """Its events, so many at a time."""
        for begin in range(0, len(self.low), CHUNK):
            part = slice(begin, begin + CHUNK)
            yield _events(self.plane, shred(self.plane.data, self.low[part], self.high[part]))


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """The kinds of events of a plane, one a row: numbers, names, and the stats that all events of a kind share."""

    ids: Ints
    names: tuple[str, ...]
    shown: tuple[str, ...]
    stats: Stats

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, metadata: Ints) -> Ints:
        """Row of the kind with each of these numbers; -1 where the file has none."""
        if not len(self.ids):
            return np.full(len(metadata), -1, np.int64)
        order = np.argsort(self.ids, kind="stable")
        at = np.searchsorted(self.ids, metadata, side="right", sorter=order) - 1
        found = order[np.maximum(at, 0)]
        return np.where((at >= 0) & (self.ids[found] == metadata), found, -1)


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """A device, a host, or something said of the whole.

    names   of stats, by their numbers
    damage  why its end is missing; ""
    """

    data: bytes
    name: str
    parts: Fields
    names: Texts
    damage: str

    @property
    def count(self) -> int:
        """How many lines it has."""
        return len(self.parts.parts(PLANE_LINES))

    def lines(self) -> Iterator[Line]:
        """Its lines."""
        return (_line(self, low, high) for low, high in self.parts.parts(PLANE_LINES))

    def stats(self) -> Stats:
        """Its own stats."""
        return _stats(self.data, self.names, np.array(self.parts.parts(PLANE_STATS), np.int64).reshape(-1, 2).T, None)

    def kinds(self) -> Kinds:
        """Its kinds of events."""
        entries = np.array(self.parts.parts(PLANE_EVENTS), np.int64).reshape(-1, 2).T
        entry = shred(self.data, *entries)
        inner = shred(self.data, *entry.spans(2))
        owner, low, high = inner.parts(META_STATS)
        stats = _stats(self.data, self.names, np.stack((low, high)), owner)
        names, shown = (tuple(inner.texts(self.data, number)) for number in (META_NAME, META_SHOWN))
        return Kinds(entry.last(1), names, shown, stats)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """A whole file.

    errors  what the profiler says went wrong
    damage  why the file's end is missing; ""
    """

    planes: tuple[Plane, ...]
    errors: tuple[str, ...]
    hosts: tuple[str, ...]
    damage: str


def space(data: bytes) -> Space:
    """The planes of a file."""
    top = fields(data)
    said = {
        number: tuple(data[low:high].decode("utf-8", "replace") for low, high in top.parts(number))
        for number in (SPACE_ERRORS, SPACE_WARNINGS, SPACE_HOSTS)
    }
    places = top.parts(SPACE_PLANES)
    planes = tuple(_plane(data, low, high) for low, high in places[:MOST_PLANES])
    many = f"{len(places):,} planes, of which {MOST_PLANES:,} are read" if len(places) > MOST_PLANES else ""
    return Space(planes, said[SPACE_ERRORS] + said[SPACE_WARNINGS], said[SPACE_HOSTS], top.damage or many)


def _plane(data: bytes, low: int, high: int) -> Plane:
    parts = fields(data, low, high)
    names = {}
    for begin, end in parts.parts(PLANE_STAT_NAMES):
        entry = fields(data, begin, end)
        for inner in entry.parts(2):
            names[signed(entry.number(1))] = fields(data, *inner).text(data, META_NAME)
    return Plane(data, parts.text(data, PLANE_NAME), parts, names, parts.damage)


def _line(plane: Plane, low: int, high: int) -> Line:
    begins, ends, own = repeated(plane.data, low, high, LINE_EVENTS)
    name = own.text(plane.data, LINE_SHOWN) or own.text(plane.data, LINE_NAME)
    return Line(signed(own.number(LINE_ID)), name, signed(own.number(LINE_TIMESTAMP)), plane, begins, ends, own.damage)


def _events(plane: Plane, table: Shreds) -> Events:
    owner, low, high = table.parts(EVENT_STATS)
    return Events(
        table.last(EVENT_METADATA), table.last(EVENT_OFFSET), table.last(EVENT_DURATION), table.has(EVENT_OCCURRENCES),
        table.broken, _stats(plane.data, plane.names, np.stack((low, high)), owner),
    )  # fmt: skip


def _stats(data: bytes, names: Mapping[int, str], places: Ints, owner: Ints | None) -> Stats:
    low, high = places
    table = shred(data, low, high)
    form, value, end = np.zeros(len(low), np.int8), np.zeros(len(low), np.uint64), np.zeros(len(low), np.int64)
    told = (table.number >= STAT_DOUBLE) & (table.number <= STAT_REF) & _as_declared(table)
    form[table.message[told]] = table.number[told]
    value[table.message[told]] = table.value[told]
    end[table.message[told]] = table.end[told]
    owners = np.zeros(len(low), np.int64) if owner is None else owner
    return Stats(data, names, owners, table.last(STAT_METADATA), form, value, end)


def _as_declared(table: Shreds) -> npt.NDArray[np.bool_]:
    """Whether a value's wire type is the one that its field has."""
    text, eight = np.isin(table.number, (STAT_TEXT, STAT_BYTES)), table.number == STAT_DOUBLE
    wanted = np.where(text, BYTES, np.where(eight, protobuf.EIGHT, protobuf.VARINT))
    return np.asarray(table.wire == wanted, np.bool_)
