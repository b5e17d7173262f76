"""Headers written by the safetensors package, and headers no writer would write."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save, save_file

from flopsight.errors import BadConfig, BadFile, InputError
from flopsight.facts import Unknown
from flopsight.models.sources.safetensors import parse_header, read_checkpoint, read_header


def header(entries, data=b"", length=None):
    raw = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def parse(data, **options):
    return parse_header(io.BytesIO(data), len(data), "x.safetensors", **options)


def test_reads_what_the_package_writes(tmp_path):
    arrays = {
        "model.embed.weight": np.zeros((10, 4), np.float16),
        "scalar": np.zeros((), np.int64),
        "empty": np.zeros((0, 3), np.float32),
        "flags": np.zeros(5, np.bool_),
        "é": np.zeros((2, 2, 2), np.uint8),
    }
    save_file(arrays, tmp_path / "m.safetensors", {"format": "np"})
    found = {tensor.name: tensor for tensor in read_header(tmp_path / "m.safetensors")}
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert found[name].bytes == array.nbytes
        assert found[name].elements == array.size
    assert found["model.embed.weight"].dtype.name == "fp16"


def test_every_dtype_the_package_knows():
    torch = pytest.importorskip("torch")
    from safetensors.torch import save as save_torch

    compared = set()
    for kind in {v for v in vars(torch).values() if isinstance(v, torch.dtype)}:
        try:
            data = save_torch({"x": torch.zeros(8, dtype=torch.uint8).view(kind)})
        except (RuntimeError, ValueError, KeyError, SafetensorError, NotImplementedError, TypeError):
            continue
        (tensor,) = parse(data)
        assert tensor.bytes == 8
        compared.add(tensor.dtype.name)
    assert {"bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "e8m0", "int64", "complex64"} <= compared


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "length beyond the file": struct.pack("<Q", 99) + b"{}",
    "length beyond the limit": struct.pack("<Q", 100_000_001) + b"{}",
    "length 2^64 - 1": b"\xff" * 8 + b"{}",
    "no header": struct.pack("<Q", 0),
    "header is a list": header([]),
    "header starts with a space": header(b" " + json.dumps({"a": ONE}).encode(), b"\0" * 8),
    "truncated header": header(b'{"a": {"dtype": "F3'),
    "not UTF-8": header(b'{"\xff": 1}'),
    "name twice": header(b'{"a": %s, "a": %s}' % ((json.dumps(ONE).encode(),) * 2), b"\0" * 8),
    "metadata is no object": header({"__metadata__": [1]}),
    "metadata holds a number": header({"__metadata__": {"a": 1}}),
    "entry is a list": header({"a": [1]}),
    "no shape": header({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, b"\0" * 8),
    "unknown dtype": header({"a": {**ONE, "dtype": "Q4_K"}}, b"\0" * 8),
    "dtype is a list": header({"a": {**ONE, "dtype": ["F32"]}}, b"\0" * 8),
    "negative dimension": header({"a": {**ONE, "shape": [-2]}}, b"\0" * 8),
    "two negative dimensions": header({"a": {**ONE, "shape": [-1, -2]}}, b"\0" * 8),
    "dimension is true": header({"a": {**ONE, "shape": [True, 2]}}, b"\0" * 8),
    "dimension is a float": header({"a": {**ONE, "shape": [2.0]}}, b"\0" * 8),
    "dimension is Infinity": header(b'{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 8]}}', b"\0" * 8),
    "shape overflows": header({"a": {**ONE, "shape": [2**62, 4]}}, b"\0" * 8),
    "shape overflows to zero": header({"a": {**ONE, "shape": [2**62, 4], "data_offsets": [0, 0]}}),
    "offsets backwards": header({"a": {**ONE, "data_offsets": [8, 0]}}, b"\0" * 8),
    "three offsets": header({"a": {**ONE, "data_offsets": [0, 8, 8]}}, b"\0" * 8),
    "offset is a string": header({"a": {**ONE, "data_offsets": ["0", "8"]}}, b"\0" * 8),
    "bytes do not fit the shape": header({"a": {**ONE, "shape": [3]}}, b"\0" * 8),
    "overlap": header({"a": ONE, "b": {**ONE, "data_offsets": [4, 12]}}, b"\0" * 12),
    "hole": header({"a": ONE, "b": {**ONE, "data_offsets": [12, 20]}}, b"\0" * 20),
    "does not start at 0": header({"a": {**ONE, "data_offsets": [4, 12]}}, b"\0" * 12),
    "data truncated": header({"a": ONE}, b"\0" * 7),
    "data too long": header({"a": ONE}, b"\0" * 9),
    "three 4-bit numbers in 2 bytes": header({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}}, b"\0\0"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(case):
    with pytest.raises(InputError) as e:
        parse(HOSTILE[case])
    assert type(e.value) in (BadFile, BadConfig)
    assert "x.safetensors" in str(e.value)
    assert str(e.value).isprintable()
    # The package lets two things pass that the format's text forbids.
    if case not in ("name twice", "header starts with a space"):
        with pytest.raises(SafetensorError):
            deserialize(HOSTILE[case])


def test_data_may_be_missing_when_only_the_header_was_fetched():
    (tensor,) = parse(header({"a": ONE}), whole=False)
    assert tensor.bytes == 8


def outcome(read, data, error):
    try:
        return read(data), ""
    except error as e:
        return None, str(e)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_accepts_exactly_what_the_package_accepts(data):
    """Bit flips in a valid file: the package's reader and ours agree on whether it is one, and on what is in it."""
    blob = bytearray(save({"a": np.zeros((2, 3), np.float16), "b": np.zeros(4, np.int8), "c": np.zeros((), np.int64)}))
    end = 8 + struct.unpack("<Q", blob[:8])[0]
    blob[data.draw(st.integers(0, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    ours, refusal = outcome(parse, bytes(blob), InputError)
    theirs, _ = outcome(deserialize, bytes(blob), SafetensorError)
    if theirs is None:
        assert ours is None
        return
    if ours is None:
        # We are stricter in one place: an entry with a key that the format does not have, or a name that stands twice.
        assert "an object with dtype" in refusal or "stands twice" in refusal
        return
    assert {(t.name, t.shape, t.bytes) for t in ours} == {(n, tuple(i["shape"]), len(i["data"])) for n, i in theirs}


def test_memory_does_not_grow_with_the_tensors(tmp_path):
    path = tmp_path / "big.safetensors"
    with path.open("wb") as f:
        f.write(header({"a": {"dtype": "I8", "shape": [2**33], "data_offsets": [0, 2**33]}}))
        f.truncate(f.tell() + 2**33)
    tracemalloc.start()
    (tensor,) = read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tensor.bytes == 2**33
    assert peak < 2**20


def test_a_header_beyond_the_limit_is_not_read(tmp_path):
    path = tmp_path / "big.safetensors"
    with path.open("wb") as f:
        f.write(struct.pack("<Q", 100_000_001) + b"{")
        f.truncate(2**30)
    with pytest.raises(BadFile, match="at most 100000000"):
        read_header(path)


def shard(folder, name, **arrays):
    save_file({key: np.zeros(shape, np.float32) for key, shape in arrays.items()}, folder / name)


def index(folder, weight_map, total=None, name="model.safetensors.index.json"):
    metadata = {} if total is None else {"total_size": total}
    (folder / name).write_text(json.dumps({"metadata": metadata, "weight_map": weight_map}))


def test_checkpoint_with_an_index(tmp_path):
    shard(tmp_path, "model-1.safetensors", a=(2, 2), extra=(1,))
    shard(tmp_path, "model-2.safetensors", b=(3,))
    index(tmp_path, {"a": "model-1.safetensors", "b": "model-2.safetensors"}, 28)
    found = read_checkpoint(tmp_path)
    assert [t.name for t in found.tensors] == ["a", "b"]
    assert found.bytes == 28
    assert found.files == ("model-1.safetensors", "model-2.safetensors")
    assert found.unlisted == ("extra",)
    assert found.quantization is None


def test_checkpoint_single_file_and_quantization(tmp_path):
    shard(tmp_path, "model.safetensors", a=(2, 2))
    shard(tmp_path, "model.fp16.safetensors", a=(2, 2))
    (tmp_path / "hf_quant_config.json").write_text(
        '{"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}}'
    )
    found = read_checkpoint(tmp_path)
    assert found.files == ("model.safetensors",)
    assert found.quantization == {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}
    (tmp_path / "hf_quant_config.json").write_text('{"producer": {}}')
    with pytest.raises(BadFile, match="quantization"):
        read_checkpoint(tmp_path)


def test_checkpoint_shards_without_an_index(tmp_path):
    shard(tmp_path, "model-00001-of-00002.safetensors", a=(2,))
    (tmp_path / "other.safetensors").write_bytes(save({}))
    with pytest.raises(BadFile, match="no index"):
        read_checkpoint(tmp_path)
    (tmp_path / "other.safetensors").unlink()
    shard(tmp_path, "model-00002-of-00002.safetensors", b=(2,))
    assert read_checkpoint(tmp_path).bytes == 16
    shard(tmp_path, "model-00002-of-00002.safetensors", a=(2,))
    with pytest.raises(BadFile, match="in two shards"):
        read_checkpoint(tmp_path)
    (tmp_path / "model-00001-of-00002.safetensors").rename(tmp_path / "model-00003-of-00003.safetensors")
    with pytest.raises(BadFile):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("total", "expected"), [(28, 28), (28.0, 28), (None, None), ("28", None), (-1, None), (True, None)]
)
def test_index_alone_names_tensors_of_unknown_size(tmp_path, total, expected):
    index(tmp_path, {"a": "model-1.safetensors", "b": "model-2.safetensors"}, total)
    found = read_checkpoint(tmp_path)
    assert [t.name for t in found.tensors] == ["a", "b"]
    assert isinstance(found.tensors[0].bytes, Unknown)
    assert isinstance(found.tensors[0].elements, Unknown)
    assert found.bytes == expected if expected is not None else isinstance(found.bytes, Unknown)


@pytest.mark.parametrize(
    "where",
    [
        "../up.safetensors",
        "../../../../etc/x.safetensors",
        "sub/../../up.safetensors",
        "/etc/x.safetensors",
        "link.safetensors",
    ],
)
def test_shards_outside_the_folder_are_not_opened(tmp_path, where):
    folder = tmp_path / "model"
    folder.mkdir()
    shard(tmp_path, "up.safetensors", a=(1,))
    (folder / "link.safetensors").symlink_to(tmp_path / "up.safetensors")
    index(folder, {"a": where})
    with pytest.raises(BadFile, match="outside"):
        read_checkpoint(folder)


def test_a_hub_cache_links_to_its_blobs(tmp_path):
    snapshot, blobs = tmp_path / "models--o--n" / "snapshots" / "abc", tmp_path / "models--o--n" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    shard(blobs, "d00d", a=(1,))
    (snapshot / "model.safetensors").symlink_to("../../blobs/d00d")
    assert read_checkpoint(snapshot).bytes == 4


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no .safetensors"),
        ({"pytorch_model.bin": b"\x80"}, "never opened"),
        ({"model.safetensors.index.json": b"{}"}, "weight_map"),
        ({"model.safetensors.index.json": b'{"weight_map": {}}'}, "weight_map"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": 1}}'}, "no .safetensors file"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": "x.bin"}}'}, "no .safetensors file"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": "\\u0000.safetensors"}}'}, "no .safetensors file"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}',
          "1.safetensors": save({"a": np.zeros(1)})}, "1 of 2 shards are missing"),
        ({"model.safetensors.index.json": b'{"weight_map": {"b": "1.safetensors"}}',
          "1.safetensors": save({"a": np.zeros(1)})}, "where it is not"),
        ({"model.safetensors": b""}, "truncated"),
        ({"model-00001-of-00009.safetensors": save({}), "model-00002-of-00009.safetensors": save({})}, "2 of 9"),
    ],
)  # fmt: skip
def test_bad_folders(tmp_path, files, words):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(BadFile, match=words):
        read_checkpoint(tmp_path)


def test_no_folder(tmp_path):
    for path in (tmp_path / "absent", os.devnull, "nul\0"):
        with pytest.raises(BadFile):
            read_checkpoint(path)
