"""Property tests of the same targets: random bytes, cut files, flipped bits, spliced files, hostile numbers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS

modest = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
HOSTILE = (0, 1, 7, 8, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1)

names = pytest.mark.parametrize("name", list(TARGETS))


@names
@modest
@given(data=st.binary(max_size=300))
@example(data=b"")
@example(data=b"GGUF")
@example(data=b"\xff" * 64)
@example(data=b"[" * 100_000)
@example(data=b'{"a":' * 100_000)
@example(data=b'"' + b'\\"' * 50_000)
def test_random_bytes(name, data):
    TARGETS[name](data)


@names
def test_cut_anywhere(name):
    for seed in SEEDS[name]():
        # Every byte of the header's beginning and end, and a spread between: a vocabulary is a thousand equal words.
        cuts = {*range(min(len(seed), 700)), *range(0, len(seed), 97), *range(max(len(seed) - 300, 0), len(seed))}
        for cut in cuts:
            TARGETS[name](seed[:cut])


@names
@modest
@given(data=st.data())
def test_flipped_bits(name, data):
    seed = bytearray(data.draw(st.sampled_from(SEEDS[name]())))
    for _ in range(data.draw(st.integers(1, 4))):
        seed[data.draw(st.integers(0, len(seed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    TARGETS[name](bytes(seed))


@names
@modest
@given(data=st.data())
def test_hostile_numbers(name, data):
    """A length, count or offset anywhere in the first kilobyte becomes one that overflows something."""
    seed = bytearray(data.draw(st.sampled_from(SEEDS[name]())))
    form = data.draw(st.sampled_from(["<Q", ">Q", "<I", ">I"]))
    value = data.draw(st.sampled_from(HOSTILE)) % 2 ** (8 * struct.calcsize(form))
    at = data.draw(st.integers(0, max(min(len(seed), 1024) - 8, 0)))
    seed[at : at + struct.calcsize(form)] = struct.pack(form, value)
    TARGETS[name](bytes(seed))


@names
@modest
@given(data=st.data())
def test_spliced(name, data):
    """A piece of one valid file inside another."""
    a, b = (data.draw(st.sampled_from(SEEDS[name]())) for _ in "ab")
    i, j = data.draw(st.integers(0, len(a))), data.draw(st.integers(0, len(b)))
    TARGETS[name](a[:i] + b[j:])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
entries = st.dictionaries(
    st.sampled_from(["dtype", "shape", "data_offsets", "other"]),
    st.sampled_from(
        ["F32", "I8", "F4", "Q9", [], [2], [0, 8], [8, 0], [-1], [2**63], [True], [1.5], 3, None, [0, 2**64]]
    ),
)


@modest
@given(header=st.dictionaries(st.text(max_size=5), entries | json_values, max_size=4), tail=st.binary(max_size=40))
def test_structured_safetensors(header, tail):
    import json

    raw = json.dumps(header).encode()
    TARGETS["safetensors"](struct.pack("<Q", len(raw)) + raw + tail)
    TARGETS["json"](raw)


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


@st.composite
def gguf_values(draw, depth=0):
    kind = draw(st.integers(0, 13))
    if kind == 8:
        return kind, _text(draw(st.binary(max_size=12)))
    if kind != 9 or depth > 6:
        return kind, draw(st.binary(min_size=8, max_size=8))[: draw(st.sampled_from([1, 2, 4, 8]))]
    pairs = draw(st.lists(gguf_values(depth + 1), max_size=3))
    count = draw(st.sampled_from([len(pairs), len(pairs) + 1, 2**32, 2**63]))
    inner = pairs[0][0] if pairs else draw(st.integers(0, 13))
    return kind, struct.pack("<IQ", inner, count) + b"".join(body for _, body in pairs)


KEYS = [b"general.architecture", b"general.alignment", b"llama.block_count", b"llama.embedding_length", b"split.count"]


@modest
@given(
    pairs=st.lists(st.tuples(st.sampled_from(KEYS) | st.binary(max_size=6), gguf_values()), max_size=5),
    infos=st.lists(
        st.tuples(
            st.sampled_from([b"token_embd.weight", b"output.weight", b"\xff"]),
            st.lists(st.sampled_from([0, 1, 32, 256, 2**31, 2**63]), max_size=6),
            st.integers(0, 45),
            st.sampled_from([0, 32, 33, 2**40, 2**64 - 32]),
        ),
        max_size=3,
    ),
    tail=st.binary(max_size=80),
)
def test_structured_gguf(pairs, infos, tail):
    body = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs))
    for key, (kind, value) in pairs:
        body += _text(key) + struct.pack("<I", kind) + value
    for name, shape, kind, offset in infos:
        body += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    TARGETS["gguf"](body + tail)
