"""Many small protobuf messages of one kind read at once: their fields as columns.

`protobuf.fields` looks at one message after the other; here the first fields of all of them are read together, then the
second ones and so on, so that a million events cost a few array operations.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from flopsight.readers.protobuf import BYTES, EIGHT, FOUR, LONGEST, MOST_NUMBER, VARINT, Fields, fields, first, varint
from flopsight.trace.columns import Ints

FEW: Final = 32
"""As many messages are better read one by one."""
Octets = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Shreds:
    """The fields of `size` messages, one a row; those of one message in their order.

    message  which message
    number   of the field
    wire     its wire type
    value    unsigned; of counted bytes their place in the data
    end      of counted bytes the place behind them
    broken   by message: whether it could not be read to its end
    """

    size: int
    message: Ints
    number: Ints
    wire: Ints
    value: Numbers
    end: Ints
    broken: npt.NDArray[np.bool_]

    def last(self, number: int, default: int = 0) -> Ints:
        """By message: its last varint or fixed field of this number, signed."""
        mine = (self.number == number) & (self.wire != BYTES)
        found = np.full(self.size, default, np.int64)
        found[self.message[mine]] = self.value[mine].view(np.int64)
        return found

    def has(self, number: int) -> npt.NDArray[np.bool_]:
        """By message: whether it has a field of this number."""
        found = np.zeros(self.size, bool)
        found[self.message[self.number == number]] = True
        return found

    def parts(self, number: int) -> tuple[Ints, Ints, Ints]:
        """Every field of counted bytes with this number: its message, where it begins, where it ends."""
        mine = (self.number == number) & (self.wire == BYTES)
        return self.message[mine], self.value[mine].view(np.int64), self.end[mine]

    def spans(self, number: int) -> tuple[Ints, Ints]:
        """By message: where its last field of counted bytes with this number begins and ends; 0, 0 without one."""
        message, low, high = self.parts(number)
        begins, ends = np.zeros(self.size, np.int64), np.zeros(self.size, np.int64)
        begins[message], ends[message] = low, high
        return begins, ends

    def texts(self, data: bytes, number: int) -> list[str]:
        """By message: the text of its last such field; "" without one."""
        begins, ends = self.spans(number)
        return [data[a:b].decode("utf-8", "replace") for a, b in zip(begins.tolist(), ends.tolist(), strict=True)]


def repeated(data: bytes, low: int, high: int, number: int) -> tuple[Ints, Ints, Fields]:
    """Where each part of a field that a message repeats very often begins and ends, and the message's other fields."""
    begins, ends, rest = array("q"), array("q"), []
    at, wanted, damage, last = low, number << 3 | BYTES, "", high - 1
    while at < high:
        if at < last and data[at] == wanted:
            size, after = data[at + 1], at + 2
            if size > 127:
                size, after = varint(data, at + 1, high)
            if 0 < after <= high - size:
                at = after + size
                begins.append(after)
                ends.append(at)
                continue
        found, damage = first(data, at, high)
        if found is not None:
            rest.append(found)
            at = found[3]
        if damage:
            break
    return np.array(begins, np.int64), np.array(ends, np.int64), Fields(tuple(rest), damage)


def shred(data: bytes, low: Ints, high: Ints) -> Shreds:
    """The fields of all messages data[low[i]:high[i]]."""
    broken = np.zeros(len(low), bool)
    rounds = [NOTHING, *_together(data, low, high, broken)]
    message, number, wire, value, end = (np.concatenate(column) for column in zip(*rounds, strict=True))
    return Shreds(len(low), message, number, wire, value, end, broken)


Round = tuple[Ints, Ints, Ints, Numbers, Ints]


NOTHING: Final[Round] = (
    np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0, np.uint64), np.empty(0, np.int64),
)  # fmt: skip


def _together(data: bytes, low: Ints, high: Ints, broken: npt.NDArray[np.bool_]) -> Iterator[Round]:
    octets = np.frombuffer(data, np.uint8)
    rows, at, end = (np.arange(len(low)), low, high)
    begun = at < end
    rows, at, end = rows[begun], at[begun], end[begun]
    while len(rows) > FEW:
        tag, after = _varints(octets, at, end)
        wire = (tag & np.uint64(7)).astype(np.int8)
        number = tag >> np.uint64(3)
        value, behind = _values(octets, wire, after, end)
        good = (after > 0) & (behind > 0) & (number > 0) & (number <= MOST_NUMBER)
        broken[rows[~good]] = True
        yield rows[good], number[good].astype(np.int32), wire[good], value[good], behind[good]
        good &= behind < end
        rows, at, end = rows[good], behind[good], end[good]
    for row, begin, high_ in zip(rows.tolist(), at.tolist(), end.tolist(), strict=True):
        yield from _singly(data, row, begin, high_, broken)


def _singly(data: bytes, row: int, low: int, high: int, broken: npt.NDArray[np.bool_]) -> Iterator[Round]:
    found = fields(data, low, high)
    broken[row] = bool(found.damage)
    whole = found.rows[:-1] if found.damage and found.rows and found.rows[-1][3] == high else found.rows
    if whole:
        number, wire, value, behind = zip(*whole, strict=True)
        yield (
            np.full(len(number), row), np.array(number, np.int32), np.array(wire, np.int8),
            np.array(value, np.uint64), np.array(behind, np.int64),
        )  # fmt: skip


def _varints(octets: Octets, at: Ints, end: Ints) -> tuple[Numbers, Ints]:
    """Numbers in base 128 and the places behind them; -1 where one has no end."""
    value, behind = np.zeros(len(at), np.uint64), np.full(len(at), -1, np.int64)
    open_ = np.flatnonzero(at >= 0)
    for step in range(LONGEST):
        place = at[open_] + step
        inside = place < end[open_]
        open_, place = open_[inside], place[inside]
        if not len(open_):
            break
        byte = octets[place]
        value[open_] |= (byte & np.uint8(127)).astype(np.uint64) << np.uint64(7 * step)
        closed = byte < 128
        behind[open_[closed]] = place[closed] + 1
        open_ = open_[~closed]
    return value, behind


def _values(octets: Octets, wire: Ints, at: Ints, end: Ints) -> tuple[Numbers, Ints]:
    """What stands behind the tags: numbers, or places of counted bytes."""
    counted = wire == BYTES
    value, behind = _varints(octets, np.where((wire == VARINT) | counted, at, -1), end)
    size = np.where(counted, value, 0)
    room = np.maximum(end - behind, 0).astype(np.uint64)
    fits = counted & (behind > 0) & (size <= room)
    inside = np.where(fits, behind, 0)
    value = np.where(counted, inside.astype(np.uint64), value)
    behind = np.where(fits, behind + np.where(fits, size, 0).astype(np.int64), np.where(counted, -1, behind))
    for kind, width in ((EIGHT, 8), (FOUR, 4)):
        mine = np.flatnonzero((wire == kind) & (at > 0) & (at + width <= end))
        if len(mine):
            places = at[mine][:, None] + np.arange(width)
            digits = octets[places].astype(np.uint64) << (np.arange(width, dtype=np.uint64) * np.uint64(8))
            value[mine] = np.bitwise_or.reduce(digits, axis=1)
            behind[mine] = at[mine] + width
    return value, behind
