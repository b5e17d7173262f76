"""Protocol buffers without their schema: the fields of a message, as numbers and as places in the bytes.

A field is `(number, wire, low, high)`. For a length-delimited one (wire BYTES) low and high are where its content
begins and ends; for the others low is the value, as an unsigned whole number, and high is where the next field begins.
Nothing here descends by itself: who reads a message asks for the fields of a part of it, so depth is the reader's own.
Encoding: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
"""Wire types: a number in base 128, eight bytes, counted bytes, four bytes. 3 and 4 (groups) are no longer written."""
SIZES: Final = {EIGHT: 8, FOUR: 4}
LONGEST: Final = 10
"""Bytes of the longest varint."""
MOST: Final = 1 << 22
"""As many fields of one message are held; a field that repeats more often is read by `shredded.repeated`."""
MOST_NUMBER: Final = (1 << 29) - 1
Field = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one message, in order, and why there are no more of them.

    damage  "" where the message was read to its end. Else what stopped it; a length that runs past the end is such
            damage, and its field is still there, as far as it goes
    """

    rows: tuple[Field, ...]
    damage: str = ""

    def __iter__(self) -> Iterator[Field]:
        return iter(self.rows)

    def parts(self, number: int) -> list[tuple[int, int]]:
        """Where each length-delimited field of this number begins and ends."""
        return [(low, high) for n, wire, low, high in self.rows if n == number and wire == BYTES]

    def number(self, number: int, default: int = 0) -> int:
        """The last varint or fixed field of this number, unsigned."""
        return next((low for n, wire, low, _ in reversed(self.rows) if n == number and wire != BYTES), default)

    def text(self, data: bytes, number: int) -> str:
        """The last length-delimited field of this number, as UTF-8; "" where there is none."""
        found = next((f for f in reversed(self.rows) if f[0] == number and f[1] == BYTES), None)
        return "" if found is None else data[found[2] : found[3]].decode("utf-8", "replace")


def fields(data: bytes, low: int = 0, high: int | None = None) -> Fields:
    """The fields of the message in data[low:high]."""
    end = len(data) if high is None else min(high, len(data))
    rows: list[Field] = []
    at, damage = low, ""
    while at < end and not damage:
        if len(rows) >= MOST:
            return Fields(tuple(rows), f"more than {MOST:,} fields")
        found, damage = first(data, at, end)
        if found is not None:
            rows.append(found)
            at = found[3]
    return Fields(tuple(rows), damage)


def first(data: bytes, at: int, end: int) -> tuple[Field | None, str]:
    """The field that begins at a byte, and what is wrong with it; None where nothing of it can be used."""
    tag, after = varint(data, at, end)
    number, wire = tag >> 3, tag & 7
    if after < 0 or not 0 < number <= MOST_NUMBER:
        return None, f"no field begins at byte {at:,}"
    if wire != BYTES:
        value, behind = _value(data, wire, after, end)
        whole = (number, wire, value, behind) if behind > 0 else None
        return whole, "" if whole else f"the value of wire type {wire} at byte {after:,} is not whole"
    size, begin = varint(data, after, end)
    if 0 < begin <= end - size:
        return (number, wire, begin, begin + size), ""
    cut = (number, wire, begin, end) if begin > 0 else None
    return cut, f"the field at byte {at:,} goes on behind the end at byte {end:,}"


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number in base 128, low digits first, cut to 64 bits, and the byte behind it; (0, -1) where it has no end."""
    found = shift = 0
    for place in range(at, min(at + LONGEST, end)):
        byte = data[place]
        found |= (byte & 127) << shift
        if byte < 128:
            return found & (2**64 - 1), place + 1
        shift += 7
    return 0, -1


def _value(data: bytes, wire: int, at: int, end: int) -> tuple[int, int]:
    if wire == VARINT:
        return varint(data, at, end)
    size = SIZES.get(wire, 0)
    if not size or at + size > end:
        return 0, -1
    return int.from_bytes(data[at : at + size], "little"), at + size


def signed(value: int) -> int:
    """An int32 or int64 from its unsigned varint."""
    return value - 2**64 if value >= 2**63 else value


def double(value: int) -> float:
    """A double from its eight bytes."""
    return float(struct.unpack("<d", value.to_bytes(8, "little"))[0])


def single(value: int) -> float:
    """A float from its four bytes."""
    return float(struct.unpack("<f", value.to_bytes(4, "little"))[0])
