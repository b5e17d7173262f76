"""Columns of many messages against the same messages read one by one."""

from __future__ import annotations

import random
import struct

import numpy as np

from flopsight.readers import protobuf
from flopsight.readers.shredded import repeated, shred


def _message(chance: random.Random) -> bytes:
    parts = []
    for _ in range(chance.randrange(9)):
        number, kind = chance.choice((1, 2, 15, 16, 300)), chance.choice((0, 1, 2, 5))
        parts.append(_varint(number << 3 | kind))
        parts.append({
            0: _varint(chance.getrandbits(chance.choice((3, 7, 8, 35, 64)))),
            1: struct.pack("<d", chance.random()),
            2: _varint(size := chance.choice((0, 3, 130))) + chance.randbytes(size),
            5: struct.pack("<f", 0.5),
        }[kind])  # fmt: skip
    return b"".join(parts)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes((*found, value))


def _laid(messages: list[bytes]) -> tuple[bytes, np.ndarray, np.ndarray]:
    high = np.cumsum([len(one) for one in messages])
    return b"".join(messages), high - [len(one) for one in messages], high


def _rows(data: bytes, low: np.ndarray, high: np.ndarray) -> list[list[protobuf.Field]]:
    table = shred(data, low, high)
    found: list[list[protobuf.Field]] = [[] for _ in low]
    for one, number, wire, value, end in zip(
        table.message.tolist(), table.number.tolist(), table.wire.tolist(), table.value.tolist(), table.end.tolist(),
        strict=True,
    ):  # fmt: skip
        found[one].append((number, wire, value, end))
    return found


def test_the_same_fields_as_one_by_one() -> None:
    chance = random.Random(3)
    for size in (0, 1, 40, 3000):
        data, low, high = _laid([_message(chance) for _ in range(size)])
        expected = [list(protobuf.fields(data, a, b)) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
        assert _rows(data, low, high) == expected


def test_damaged_messages_are_told_and_their_whole_fields_kept() -> None:
    chance = random.Random(4)
    for size in (5, 400):
        messages = [_message(chance)[: chance.randrange(1, 40)] for _ in range(size)]
        data, low, high = _laid(messages)
        table = shred(data, low, high)
        one_by_one = [protobuf.fields(data, a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
        assert table.broken.tolist() == [bool(one.damage) for one in one_by_one]
        for mine, theirs in zip(_rows(data, low, high), one_by_one, strict=True):
            assert list(theirs)[: len(mine)] == mine
            assert len(mine) >= len(theirs.rows) - bool(theirs.damage)


def test_columns() -> None:
    messages = [b"\x08\x01\x08\x02", b"", b"\x12\x02ab\x08" + b"\xff" * 9 + b"\x01", b"\x12\x00"] * 20
    data, low, high = _laid(messages)
    table = shred(data, low, high)
    assert table.last(1, 7).tolist() == [2, 7, -1, 7] * 20
    assert table.texts(data, 2) == ["", "", "ab", ""] * 20
    assert table.has(1).tolist() == [True, False, True, False] * 20
    assert table.parts(2)[0].tolist() == [i for i in range(80) if i % 4 > 1]


def test_repeated_parts_between_other_fields() -> None:
    data = b"\x08\x05" + b"\x22\x01a" * 3 + b"\x12\x02xy" + b"\x22\x00" + b"\x22\x09cut"
    low, high, rest = repeated(data, 0, len(data), 4)
    assert [data[a:b] for a, b in zip(low.tolist(), high.tolist(), strict=True)] == [b"a", b"a", b"a", b""]
    assert rest.number(1) == 5
    assert rest.text(data, 2) == "xy"
    assert "behind the end" in rest.damage
    assert rest.parts(4) == [(19, 22)]


def test_one_endless_message_among_small_ones_ends_in_time() -> None:
    data, low, high = _laid([b"\x08\x01"] * 100 + [b"\x08\x01" * 200_000])
    assert len(shred(data, low, high).message) == 200_100
