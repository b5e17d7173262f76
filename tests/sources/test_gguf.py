"""GGUF files written by the gguf package, and files nobody should write."""

from __future__ import annotations

import io
import struct
import tracemalloc

import gguf
import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from flopsight.dtypes import GGUF_TYPES
from flopsight.errors import BadFile
from flopsight.facts import Unknown
from flopsight.models.sources.gguf import LongArray, parse_gguf, read_gguf
from flopsight.models.sources.gguf_config import gguf_config
from tests.fuzz.seeds import llama_writer, written


def parse(data, **options):
    return parse_gguf(io.BytesIO(data), len(data), "x.gguf", **options)


@pytest.mark.parametrize("endian", list(gguf.GGUFEndian))
def test_agrees_with_the_package_s_reader(tmp_path, endian):
    path = tmp_path / "m.gguf"
    written(llama_writer(path, endian))
    ours, theirs = read_gguf(path), GGUFReader(path)
    assert ours.version == 3
    assert ours.architecture == "llama"
    assert [(t.name, t.shape, t.bytes, t.dtype) for t in ours.tensors] == [
        (t.name, tuple(int(d) for d in t.shape[::-1]), int(t.n_bytes), GGUF_TYPES[int(t.tensor_type)])
        for t in theirs.tensors
    ]
    for key, value in ours.metadata.items():
        expected = theirs.fields[key].contents()
        if isinstance(value, LongArray):
            assert value.count == len(expected)
        else:
            assert value == expected, key
    assert ours.metadata["tokenizer.ggml.tokens"] == LongArray("string", 1100)
    assert ours.metadata["tokenizer.ggml.scores"] == LongArray("float32", 1100)
    assert ours.metadata["llama.some_list"] == [1, 2, 3]
    config = gguf_config(ours)
    assert (config["model_type"], config["vocab_size"], config["tie_word_embeddings"]) == ("llama", 8, True)


def test_every_tensor_type_has_its_size(tmp_path):
    path = tmp_path / "m.gguf"
    writer = GGUFWriter(path, "llama")
    for kind, (block, size) in gguf.GGML_QUANT_SIZES.items():
        rows = np.zeros((3, 256 // block * size), np.uint8)
        writer.add_tensor(f"t{int(kind)}", rows, raw_shape=rows.shape, raw_dtype=kind)
    written(writer)
    for tensor in read_gguf(path).tensors:
        block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(int(tensor.name[1:]))]
        assert tensor.shape == (3, 256)
        assert tensor.bytes == 3 * 256 // block * size


def test_split_files_are_joined(tmp_path):
    writer = GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=1)
    for name in ("a", "b", "c"):
        writer.add_tensor(name, np.zeros((2, 4), np.float32))
    written(writer)
    parts = sorted(path.name for path in tmp_path.iterdir())
    assert parts == [f"m-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    for part in parts:
        file = read_gguf(tmp_path / part)
        assert [t.name for t in file.tensors] == ["a", "b", "c"]
        assert file.architecture == "llama"
    renamed = (tmp_path / parts[0]).rename(tmp_path / "first.gguf")
    with pytest.raises(BadFile, match="original name"):
        read_gguf(renamed)
    with pytest.raises(BadFile, match="00001-of-00003"):
        read_gguf(tmp_path / parts[1])


def text(value):
    return struct.pack("<Q", len(value)) + value


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def info(name=b"t", shape=(4,), kind=0, offset=0):
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def build(*, pairs=(), infos=(), tail=b"\0" * 96, version=3, counts=None):
    n_infos, n_pairs = counts or (len(infos), len(pairs))
    return b"GGUF" + struct.pack("<IQQ", version, n_infos, n_pairs) + b"".join([*pairs, *infos]) + tail


def test_the_builder_builds_what_is_accepted():
    arch = pair(b"general.architecture", 8, text(b"llama"))
    (tensor,) = parse(build(pairs=[arch], infos=[info()])).tensors
    assert (tensor.name, tensor.shape, tensor.bytes) == ("t", (4,), 16)
    assert isinstance(parse(build(infos=[info()])).architecture, Unknown)
    assert parse(build(version=2)).version == 2
    nested = pair(b"a", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 4, 2) + struct.pack("<II", 5, 6))
    assert parse(build(pairs=[nested])).metadata == {"a": [[5, 6]]}


def nest(depth):
    return b"".join(struct.pack("<IQ", 9, 1) for _ in range(depth)) + struct.pack("<IQ", 4, 0)


HOSTILE = {
    "empty": (b"", "truncated"),
    "magic alone": (b"GGUF", "truncated"),
    "another magic": (b"GGML" + b"\0" * 100, "GGUF"),
    "version 1": (build(version=1), "version 1"),
    "version 4": (build(version=4), "version 4"),
    "version 0": (build(version=0), "version 0"),
    "2^64 - 1 tensors": (build(counts=(2**64 - 1, 0)), "cannot lie"),
    "2^63 pairs": (build(counts=(0, 2**63)), "cannot lie"),
    "ten pairs in no bytes": (build(counts=(0, 10), tail=b""), "cannot lie"),
    "key beyond the file": (build(pairs=[struct.pack("<Q", 500) + b"\0" * 20]), "truncated"),
    "key of 2^63 bytes": (build(pairs=[struct.pack("<Q", 2**63) + b"\0" * 20]), "longer"),
    "key not UTF-8": (build(pairs=[pair(b"\xff", 4, b"\0" * 4)]), "UTF-8"),
    "key twice": (build(pairs=[pair(b"a", 4, b"\0" * 4)] * 2), "stands twice"),
    "value type 13": (build(pairs=[pair(b"a", 13, b"\0" * 8)]), "0 to 12"),
    "string of 2^40 bytes": (build(pairs=[pair(b"a", 8, struct.pack("<Q", 2**40))]), "longer"),
    "array of 2^62 numbers": (build(pairs=[pair(b"a", 9, struct.pack("<IQ", 10, 2**62))]), "truncated"),
    "array of 2^62 strings": (build(pairs=[pair(b"a", 9, struct.pack("<IQ", 8, 2**62))]), "cannot lie"),
    "array of 2^62 arrays": (build(pairs=[pair(b"a", 9, struct.pack("<IQ", 9, 2**62))]), "cannot lie"),
    "array of type 99": (build(pairs=[pair(b"a", 9, struct.pack("<IQ", 99, 1) + b"\0")]), "0 to 12"),
    "long array of strings that overrun": (
        build(pairs=[pair(b"a", 9, struct.pack("<IQ", 8, 1025) + struct.pack("<Q", 2**63) * 1025)]),
        "truncated",
    ),
    "arrays five deep": (build(pairs=[pair(b"a", 9, nest(4))]), "deep"),
    "arrays a thousand deep": (build(pairs=[pair(b"a", 9, nest(1000))]), "deep"),
    "alignment 0": (build(pairs=[pair(b"general.alignment", 4, struct.pack("<I", 0))]), "power of two"),
    "alignment 33": (build(pairs=[pair(b"general.alignment", 4, struct.pack("<I", 33))]), "power of two"),
    "alignment is text": (build(pairs=[pair(b"general.alignment", 8, text(b"32"))]), "power of two"),
    "tensor type 4, removed": (build(infos=[info(kind=4)]), "tensor type 4"),
    "tensor type 4000": (build(infos=[info(kind=4000)]), "tensor type 4000"),
    "five dimensions": (build(infos=[info(shape=(1,) * 5)]), "5 dimensions"),
    "2^32 - 1 dimensions": (build(infos=[text(b"t") + struct.pack("<I", 2**32 - 1) + b"\0" * 40]), "dimensions"),
    "shape overflows": (build(infos=[info(shape=(2**32, 2**32))]), "does not divide"),
    "row is no whole block": (build(infos=[info(shape=(33, 32), kind=8)]), "does not divide"),
    "tensor beyond the file": (build(infos=[info(shape=(2**30,))]), "truncated"),
    "offset beyond the file": (build(infos=[info(offset=2**40)]), "truncated"),
    "offset not aligned": (build(infos=[info(offset=8)]), "multiple of 32"),
    "tensors overlap": (build(infos=[info(shape=(16,)), info(b"u", offset=32)]), "overlap"),
    "tensor twice": (build(infos=[info(), info(offset=32)]), "stands twice"),
    "name of 2000 bytes": (build(infos=[info(b"n" * 2000)], tail=b"\0" * 4000), "longer"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(case):
    data, words = HOSTILE[case]
    with pytest.raises(BadFile, match=words) as e:
        parse(data)
    assert "x.gguf" in str(e.value)
    assert str(e.value).isprintable()


def test_data_may_be_missing_when_only_the_header_was_fetched():
    (tensor,) = parse(build(infos=[info(shape=(2**30,))]), whole=False).tensors
    assert tensor.bytes == 2**32


def test_data_begins_at_the_next_aligned_byte():
    aligned = pair(b"general.alignment", 4, struct.pack("<I", 256))
    head = build(pairs=[aligned], infos=[info()], tail=b"")
    assert len(head) < 240
    assert parse(head + b"\0" * (256 + 16 - len(head))).tensors[0].bytes == 16
    with pytest.raises(BadFile, match="ends at byte 272, and the file at 271"):
        parse(head + b"\0" * (256 + 15 - len(head)))


def test_memory_does_not_grow_with_the_vocabulary(tmp_path):
    words = 300_000
    body = struct.pack("<IQ", 8, words) + b"".join(text(b"w" * (i % 40)) for i in range(words))
    data = build(
        pairs=[pair(b"tokenizer.ggml.tokens", 9, body), pair(b"after", 4, struct.pack("<I", 7))], infos=[info()]
    )
    (tmp_path / "m.gguf").write_bytes(data)
    tracemalloc.start()
    file = read_gguf(tmp_path / "m.gguf")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.metadata == {"tokenizer.ggml.tokens": LongArray("string", words), "after": 7}
    assert peak < 3 * 2**20


def test_a_word_longer_than_a_chunk_is_stepped_over():
    body = struct.pack("<IQ", 8, 1025) + text(b"x" * (3 * 2**20)) + text(b"") * 1024
    data = build(pairs=[pair(b"a", 9, body), pair(b"b", 7, b"\1")])
    assert parse(data).metadata == {"a": LongArray("string", 1025), "b": True}


def test_a_huge_sparse_file_is_refused_quickly(tmp_path):
    path = tmp_path / "sparse.gguf"
    with path.open("wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair(b"a", 9, struct.pack("<IQ", 8, 2**36)))
        f.truncate(2**40)
    with pytest.raises(BadFile, match="cannot lie"):
        read_gguf(path)
