"""The wire reader against Google's own encoder, and against damage."""

from __future__ import annotations

import math
import random

import pytest

from flopsight.readers import protobuf


def test_examples_of_the_encoding_page() -> None:
    """The byte strings that https://protobuf.dev/programming-guides/encoding/ spells out."""
    assert protobuf.fields(b"\x08\x96\x01").rows == ((1, protobuf.VARINT, 150, 3),)
    text = b"\x12\x07testing"
    assert protobuf.fields(text).text(text, 2) == "testing"
    assert protobuf.fields(b"\x1a\x03\x08\x96\x01").parts(3) == [(2, 5)]
    assert protobuf.signed(protobuf.fields(b"\x08" + b"\xfe" + b"\xff" * 8 + b"\x01").number(1)) == -2


def test_fixed_numbers() -> None:
    found = protobuf.fields(b"\x09\x18-DT\xfb!\x09@\x15\x00\x00\xc0?")
    assert protobuf.double(found.number(1)) == math.pi
    assert protobuf.single(found.number(2)) == 1.5


def test_google_writes_the_same_struct() -> None:
    """A message of google.protobuf with doubles, texts, lists and depth comes back as its own parser sees it."""
    struct_pb2 = pytest.importorskip("google.protobuf.struct_pb2", reason="protobuf is not installed")
    made = struct_pb2.Struct()
    made.update({"a": 1.25, "b": "text", "c": [1.0, True, "x"]})
    data = made.SerializeToString()
    found = {}
    for low, high in protobuf.fields(data).parts(1):
        entry = protobuf.fields(data, low, high)
        (place,) = entry.parts(2)
        found[entry.text(data, 1)] = protobuf.fields(data, *place)
    assert set(found) == {"a", "b", "c"}
    assert protobuf.double(found["a"].number(2)) == 1.25
    assert found["b"].text(data, 3) == "text"
    (inner,) = found["c"].parts(6)
    values = [protobuf.fields(data, *one) for one in protobuf.fields(data, *inner).parts(1)]
    assert protobuf.double(values[0].number(2)) == 1.0
    assert values[1].number(4) == 1
    assert values[2].text(data, 3) == "x"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a\x05abc", "behind the end"),
        (b"\x08", "not whole"),
        (b"\x08" + b"\xff" * 11, "not whole"),
        (b"\x0b", "wire type 3"),
        (b"\x09abc", "not whole"),
        (b"\x00\x01", "no field begins"),
        (b"\xff" * 20, "no field begins"),
        (b"\x0a" + b"\xff" * 9 + b"\x01abc", "behind the end"),
    ],
)
def test_damage_is_said(data: bytes, why: str) -> None:
    assert why in protobuf.fields(data).damage


def test_what_runs_past_the_end_is_kept_as_far_as_it_goes() -> None:
    found = protobuf.fields(b"\x08\x01\x12\x09abc")
    assert found.number(1) == 1
    assert found.parts(2) == [(4, 7)]
    assert found.damage


def test_noise_ends_and_stays_inside() -> None:
    chance = random.Random(1)
    for _ in range(500):
        data = chance.randbytes(chance.randrange(60))
        for _, wire, low, high in protobuf.fields(data):
            assert wire != protobuf.BYTES or 0 <= low <= high <= len(data)
