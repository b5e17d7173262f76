"""Metadata and tensor table of a GGUF file; no tensor is ever read.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, either byte order: magic, version,
counts, key-value pairs, tensor infos, then data aligned to `general.alignment`. Sizes of quantized blocks are in
`flopsight.dtypes.GGUF_TYPES`.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from flopsight.dtypes import GGUF_TYPES
from flopsight.errors import BadFile
from flopsight.facts import Unknown
from flopsight.models.sources.stream import Reader, open_regular, shown
from flopsight.models.sources.tensors import StoredTensor

KEEP: Final = 1024
MAX_NAME: Final = 1024
MAX_STRING: Final = 16 * 2**20
MAX_TEXT: Final = 128 * 2**20
MAX_TABLE: Final = 2**20
MAX_ITEMS: Final = 2**24
MAX_NESTING: Final = 4
MAX_DIMS: Final = 4


@dataclass(frozen=True, slots=True)
class LongArray:
    """An array of more than 1024 entries, such as a tokenizer's words: its entry type and count, not its entries."""

    type: str
    count: int


Value: TypeAlias = int | float | bool | str | LongArray | list["Value"]


@dataclass(frozen=True, slots=True)
class GgufFile:
    """What a GGUF file says before its data begins.

    metadata      key -> value, arrays of more than 1024 entries as LongArray
    tensors       of all the parts of a split file, in file order; shapes outermost first
    architecture  `general.architecture`, llama.cpp's name of the family
    """

    name: str
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[StoredTensor, ...]
    architecture: str | Unknown


def read_gguf(path: str | os.PathLike[str]) -> GgufFile:
    """A GGUF file's header, joined with those of its other parts when it is split (name-00001-of-00003.gguf).

    Raises BadFile for anything that is truncated, out of bounds, of an unknown tensor type, or not GGUF.
    """
    file = _read_part(path)
    count = file.metadata.get("split.count", 1)
    if not isinstance(count, int) or count <= 1:
        return file
    parts = [_read_part(part) for part in _part_paths(Path(path), count)]
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    _no_name_twice(tensors, file.name)
    return replace(parts[0], tensors=tensors)


def _read_part(path: str | os.PathLike[str]) -> GgufFile:
    with open_regular(path) as (stream, size):
        return parse_gguf(stream, size, os.fspath(path))


_PART: Final = re.compile(r"(?P<stem>.*)-\d{5}-of-(?P<count>\d{5})\.gguf")


def _part_paths(path: Path, count: int) -> list[Path]:
    match = _PART.fullmatch(path.name)
    if match is None or int(match["count"]) != count:
        why = f"is one of {count} parts, and its name does not end in -00001-of-{count:05d}.gguf"
        raise BadFile(f"{shown(path)} {why}, so the others cannot be found. Give it its original name.")
    paths = [path.with_name(f"{match['stem']}-{i:05d}-of-{count:05d}.gguf") for i in range(1, count + 1)]
    missing = [part.name for part in paths if not part.is_file()]
    if missing:
        raise BadFile(f"{shown(path)} is one of {count} parts and {shown(missing[0])} is not beside it. Download it.")
    return paths


def parse_gguf(stream: BinaryIO, size: int, name: str, *, whole: bool = True) -> GgufFile:
    """The header in a GGUF stream of `size` bytes; unless `whole`, the data may be missing. Raises like `read_gguf`."""
    reader = Reader(stream, size, name)
    version = _open(reader)
    tensor_count = _bounded_count(reader, "tensors", least_bytes=24)
    pair_count = _bounded_count(reader, "key-value pairs", least_bytes=13)
    metadata = _Pairs(reader).read(pair_count)
    infos = [_info(reader) for _ in range(tensor_count)]
    _no_name_twice(tuple(info.tensor for info in infos), name)
    _check_layout(infos, reader, _alignment(metadata, reader), whole)
    family = metadata.get("general.architecture")
    known = family if isinstance(family, str) else Unknown("the file has no general.architecture")
    return GgufFile(name, version, metadata, tuple(info.tensor for info in infos), known)


def _open(reader: Reader) -> int:
    """Magic and version; the byte order is known from which end of the version is zero."""
    magic = reader.take(4, "the magic")
    if magic != b"GGUF":
        raise reader.fail(
            f"a GGUF file starts with b'GGUF', and {magic!r} was read", "Check that this is a .gguf file."
        )
    version = reader.count("I", "the version")
    if version & 0xFFFF == 0 and version:
        reader.order = ">"
        (version,) = struct.unpack(">I", struct.pack("<I", version))
    if version not in (2, 3):
        raise reader.fail(
            f"GGUF versions 2 and 3 are read, and this is version {version}", "Convert it with llama.cpp."
        )
    return version


def _bounded_count(reader: Reader, what: str, least_bytes: int) -> int:
    count = reader.count("Q", f"the count of {what}")
    if count * least_bytes > reader.left() or count > MAX_TABLE:
        raise reader.fail(f"{count} {what} cannot lie in the {reader.left()} bytes that are left")
    return count


_SCALARS: Final = {
    0: ("B", "uint8"),
    1: ("b", "int8"),
    2: ("H", "uint16"),
    3: ("h", "int16"),
    4: ("I", "uint32"),
    5: ("i", "int32"),
    6: ("f", "float32"),
    7: ("?", "bool"),
    10: ("Q", "uint64"),
    11: ("q", "int64"),
    12: ("d", "float64"),
}
_STRING: Final = 8
_ARRAY: Final = 9
_CHUNK: Final = 2**20


@dataclass(slots=True)
class _Pairs:
    """The key-value section, read within one budget of entries and of text for the whole file."""

    reader: Reader
    items: int = 0
    text: int = 0
    found: dict[str, Value] = field(default_factory=dict)

    def read(self, count: int) -> dict[str, Value]:
        for _ in range(count):
            key = self.string("a key", most=MAX_NAME, strict=True)
            if key in self.found:
                raise self.reader.fail(f"the key {shown(key)} stands twice")
            self.found[key] = self.value(self.reader.count("I", f"the type of {shown(key)}"), 0)
        return self.found

    def string(self, what: str, *, most: int = MAX_STRING, strict: bool = False) -> str:
        length = self.reader.count("Q", f"the length of {what}")
        self.text += length
        if length > most or self.text > MAX_TEXT:
            raise self.reader.fail(f"{what} of {length} bytes is longer than any that is read")
        raw = self.reader.take(length, what)
        try:
            return raw.decode("utf-8", "strict" if strict else "replace")
        except UnicodeDecodeError:
            raise self.reader.fail(f"{what} is not UTF-8 text: {raw[:16]!r}") from None

    def value(self, kind: int, depth: int) -> Value:
        if kind in _SCALARS:
            return self.reader.unpack(_SCALARS[kind][0], "a value")
        if kind == _STRING:
            return self.string("a string")
        if kind == _ARRAY:
            return self.array(depth + 1)
        raise self.reader.fail(f"value types are 0 to 12, and {kind} was read")

    def array(self, depth: int) -> Value:
        if depth > MAX_NESTING:
            raise self.reader.fail(f"arrays lie more than {MAX_NESTING} deep")
        kind = self.reader.count("I", "an array's type")
        count = self.reader.count("Q", "an array's count")
        if count > KEEP and kind in _SCALARS:
            code, name = _SCALARS[kind]
            self.reader.skip(count * struct.calcsize(code), "an array")
            return LongArray(name, count)
        self.spend(count)
        if count > KEEP and kind == _STRING:
            self.skip_strings(count)
            return LongArray("string", count)
        return self.entries(kind, count, depth)

    def spend(self, count: int) -> None:
        self.items += count
        if count > self.reader.left() or self.items > MAX_ITEMS:
            raise self.reader.fail(f"an array of {count} entries cannot lie in the {self.reader.left()} bytes left")

    def entries(self, kind: int, count: int, depth: int) -> Value:
        kept: list[Value] = []
        for i in range(count):
            value = self.value(kind, depth)
            if i < KEEP:
                kept.append(value)
        return kept if count <= KEEP else LongArray("array", count)

    def skip_strings(self, count: int) -> None:
        """Step over strings a chunk at a time: a vocabulary has hundreds of thousands."""
        length = struct.Struct(self.reader.order + "Q")
        while count:
            chunk = self.reader.peek(_CHUNK)
            at, last = 0, len(chunk) - length.size
            while count and at <= last:
                at += length.size + length.unpack_from(chunk, at)[0]
                count -= 1
            self.reader.skip(max(at, length.size), "a string")


@dataclass(frozen=True, slots=True)
class _Info:
    tensor: StoredTensor
    offset: int
    size: int


def _info(reader: Reader) -> _Info:
    """One row of the tensor table; ggml writes dimensions innermost first."""
    name = _Pairs(reader).string("a tensor name", most=MAX_NAME, strict=True)
    dims = reader.count("I", "a tensor's number of dimensions")
    if dims > MAX_DIMS:
        raise reader.fail(f"{shown(name)} has {dims} dimensions and ggml has at most {MAX_DIMS}")
    shape = tuple(reader.count("Q", "a dimension") for _ in range(dims))
    type_id = reader.count("I", "a tensor type")
    offset = reader.count("Q", "a tensor offset")
    kind = GGUF_TYPES.get(type_id)
    if kind is None:
        raise reader.fail(
            f"{shown(name)} is of tensor type {type_id}, which is not known", "Update flopsight, or report it."
        )
    tensor = StoredTensor(name, kind, shape[::-1], 0)
    elements = tensor.elements
    assert isinstance(elements, int)
    if elements >= 2**63 or (shape[0] if shape else 1) % kind.block:
        raise reader.fail(
            f"{shown(name)} of shape {shape[::-1]} does not divide into blocks of {kind.block} ({kind.name})"
        )
    size = elements // kind.block * kind.block_bytes
    return _Info(replace(tensor, bytes=size), offset, size)


def _no_name_twice(tensors: tuple[StoredTensor, ...], name: str) -> None:
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise BadFile(f"{shown(name)}: the tensor {shown(tensor.name)} stands twice. Download or convert it again.")
        seen.add(tensor.name)


def _alignment(metadata: Mapping[str, Value], reader: Reader) -> int:
    value = metadata.get("general.alignment", 32)
    if type(value) is not int or value <= 0 or value & (value - 1) or value > 2**30:
        raise reader.fail(f"general.alignment must be a power of two, and {shown(value)} was read")
    return value


def _check_layout(infos: list[_Info], reader: Reader, alignment: int, whole: bool) -> None:
    """Tensors are aligned, do not overlap, and end within the file."""
    start = -(-reader.at // alignment) * alignment
    for info in infos:
        if info.offset % alignment:
            raise reader.fail(f"{shown(info.tensor.name)} begins at {info.offset}, no multiple of {alignment}")
    placed = sorted(infos, key=lambda info: (info.offset, info.size))
    for a, b in pairwise(placed):
        if a.offset + a.size > b.offset:
            raise reader.fail(f"{shown(a.tensor.name)} and {shown(b.tensor.name)} overlap")
    end = start + placed[-1].offset + placed[-1].size if placed else 0
    if whole and end > reader.size:
        last = shown(placed[-1].tensor.name)
        raise reader.fail(f"the file is truncated: {last} ends at byte {end}, and the file at {reader.size}")
