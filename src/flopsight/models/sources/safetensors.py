"""Names, formats, shapes and sizes from safetensors headers; no tensor is ever read.

Format: 8 bytes of header length (little endian), a JSON header {name: {dtype, shape, data_offsets}}, the data without
holes (https://github.com/huggingface/safetensors, format section). A sharded checkpoint has an index JSON beside it
whose `weight_map` names each tensor's file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Final

from flopsight.dtypes import DType, dtype
from flopsight.errors import BadFile
from flopsight.facts import Unknown
from flopsight.models.sources.json_config import parse_object, read_config
from flopsight.models.sources.stream import Reader, open_regular, shown
from flopsight.models.sources.tensors import StoredTensor, total_bytes

MAX_HEADER: Final = 100_000_000
MAX_DIM: Final = 2**63

_NAMES: Final = (
    "BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
    "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64",
)  # fmt: skip
_DTYPES: Final[dict[str, DType]] = {name: dtype(name) for name in _NAMES}


def read_header(path: str | os.PathLike[str]) -> tuple[StoredTensor, ...]:
    """The tensors of one .safetensors file, in the order of their bytes; raises BadFile for a header that cannot be."""
    with open_regular(path) as (stream, size):
        return parse_header(stream, size, os.fspath(path))


def parse_header(stream: BinaryIO, size: int, name: str, *, whole: bool = True) -> tuple[StoredTensor, ...]:
    """The tensors in a safetensors stream of `size` bytes; unless `whole`, the data may be missing.

    Raises BadFile when lengths, offsets, shapes and formats do not fit each other and the size.
    """
    reader = Reader(stream, size, name)
    length = reader.count("Q", "the header length")
    if length > MAX_HEADER:
        raise reader.fail(f"the header is said to have {length} bytes and at most {MAX_HEADER} are allowed", _NOT_ONE)
    raw = reader.take(length, "the header")
    if not raw.startswith(b"{"):
        raise reader.fail(f"the header starts with {raw[:8]!r} and not with {{", _NOT_ONE)
    header = parse_object(raw, f"{name} (header)", max_bytes=MAX_HEADER)
    _check_metadata(header.pop("__metadata__", None), name)
    spans = sorted((_span(key, entry, name) for key, entry in header.items()), key=lambda s: (s.begin, s.end))
    _check_layout(spans, reader.left() if whole else None, name)
    return tuple(span.tensor for span in spans)


_NOT_ONE: Final = "Check that this is a .safetensors file."


@dataclass(frozen=True, slots=True)
class _Span:
    tensor: StoredTensor
    begin: int
    end: int


def _check_metadata(metadata: object, name: str) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadFile(f"{shown(name)}: __metadata__ must map strings to strings. Write the file again.")


def _span(key: str, entry: object, name: str) -> _Span:
    """One header entry, checked against itself."""
    where = f"{shown(name)}, tensor {shown(key)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise BadFile(f"{where}: an object with dtype, shape and data_offsets was expected. {_AGAIN}")
    kind = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if kind is None:
        raise BadFile(f"{where}: the dtype {shown(entry['dtype'])} is none of {' '.join(_NAMES)}. {_AGAIN}")
    shape = _whole_numbers(entry["shape"], f"{where}: the shape")
    offsets = _whole_numbers(entry["data_offsets"], f"{where}: data_offsets")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise BadFile(f"{where}: data_offsets must be [begin, end], and {shown(offsets)} was read. {_AGAIN}")
    return _fitting(StoredTensor(key, kind, shape, offsets[1] - offsets[0]), kind, *offsets, where)


_AGAIN: Final = "Download or write the file again."


def _fitting(tensor: StoredTensor, kind: DType, begin: int, end: int, where: str) -> _Span:
    elements = tensor.elements
    assert isinstance(elements, int)
    if elements * kind.bits != 8 * (end - begin):
        need = f"{elements} elements of {kind.bits} bits"
        raise BadFile(f"{where}: {need} do not fill the {end - begin} bytes of data_offsets. {_AGAIN}")
    return _Span(tensor, begin, end)


def _whole_numbers(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(each) is int and 0 <= each < MAX_DIM for each in value):
        raise BadFile(f"{where} must be a list of whole numbers of at least 0, and {shown(value)} was read. {_AGAIN}")
    return tuple(value)


def _check_layout(spans: list[_Span], data: int | None, name: str) -> None:
    """Tensors lie end to end from byte 0 and fill the file: no overlap, no hole, nothing missing."""
    if spans and spans[0].begin != 0:
        raise BadFile(f"{shown(name)}: no tensor starts at byte 0 of the data. {_AGAIN}")
    for a, b in pairwise(spans):
        if a.end != b.begin:
            what = "overlap" if b.begin < a.end else "leave a hole between them"
            raise BadFile(f"{shown(name)}: {shown(a.tensor.name)} and {shown(b.tensor.name)} {what}. {_AGAIN}")
    end = spans[-1].end if spans else 0
    if data is not None and data != end:
        state = "truncated" if data < end else "longer than its header says"
        raise BadFile(f"{shown(name)} is {state}: {end} bytes of tensors, {data} bytes of data. Download it again.")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All the tensors of a folder of weights.

    bytes         of tensor data; the index's `total_size` when the shards are not there
    files         the .safetensors files that were read, none when only the index is there
    unlisted      tensors in the shards that the index does not name, and that are not in `tensors`
    quantization  the `quantization` section of hf_quant_config.json beside them, if there is one
    """

    tensors: tuple[StoredTensor, ...]
    bytes: int | Unknown
    files: tuple[str, ...]
    unlisted: tuple[str, ...] = ()
    quantization: Mapping[str, Any] | None = None


def read_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Every tensor that a folder's safetensors files hold, from headers alone.

    With an index but none of its shards, names are given with Unknown formats and sizes. Raises BadFile when some
    shards are missing, when index and shards disagree, or when a shard lies outside the folder.
    """
    root = Path(folder)
    names = _listing(root)
    quantization = _quantization(root) if QUANT_FILE in names else None
    index = _index_name(names)
    if index is not None:
        return _indexed(root, index, quantization)
    files = _unindexed(root, [n for n in names if n.endswith(".safetensors")])
    tensors = _no_name_twice(t for file in files for t in read_header(_inside(root, file)))
    return Checkpoint(tensors, total_bytes(tensors), files, quantization=quantization)


QUANT_FILE: Final = "hf_quant_config.json"
_INDEX: Final = ".safetensors.index.json"
_MAX_FILES: Final = 100_000


def _listing(root: Path) -> list[str]:
    names: list[str] = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) > _MAX_FILES:
                    raise BadFile(f"{shown(root)} holds more than {_MAX_FILES} files. Give the model's own folder.")
    except (OSError, ValueError) as e:
        if isinstance(e, BadFile):
            raise
        raise BadFile(f"A folder of weights was expected at {shown(root)}: {e}. Check the path.") from None
    return sorted(names)


def _index_name(names: list[str]) -> str | None:
    found = [name for name in names if name.endswith(_INDEX)]
    preferred = [f"{stem}{_INDEX}" for stem in _STEMS if f"{stem}{_INDEX}" in found]
    return next(iter(preferred or found), None)


_STEMS: Final = ("model", "diffusion_pytorch_model")
_SHARD: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{1,6})-of-(?P<count>\d{1,6})\.safetensors")


def _unindexed(root: Path, files: list[str]) -> tuple[str, ...]:
    """The files that make the model when no index says so: the usual name, the only one, or a full set of shards."""
    usual = [f"{stem}.safetensors" for stem in _STEMS if f"{stem}.safetensors" in files]
    if usual or len(files) == 1:
        return ((usual or files)[0],)
    if not files:
        hint = "Weights in pickles (.bin, .pt) are never opened: convert them with save_pretrained."
        raise BadFile(f"{shown(root)} holds no .safetensors file. {hint}")
    shards = [match for match in map(_SHARD.fullmatch, files) if match]
    sets = {(match["stem"], int(match["count"])) for match in shards}
    if len(sets) != 1 or len(shards) != len(files):
        raise BadFile(
            f"{shown(root)} holds {len(files)} .safetensors files and no index of them. Give one of the files."
        )
    (_, count) = sets.pop()
    if {int(match["number"]) for match in shards} != set(range(1, count + 1)):
        raise BadFile(f"{shown(root)} holds {len(shards)} of {count} shards. Download the others.")
    return tuple(files)


def _inside(root: Path, file: str) -> Path:
    """The shard's path, refused when it lies outside the folder, except in a hub cache's own blobs."""
    path = root / file
    try:
        base, real = root.resolve(), path.resolve()
        homes = [base]
        if base.parent.name == "snapshots":
            homes.append(base.parent.parent / "blobs")
    except (OSError, ValueError, RuntimeError) as e:
        raise BadFile(f"The shard {shown(file)} in {shown(root)} has no usable path: {e}. {_AGAIN}") from None
    if not any(real.is_relative_to(home) for home in homes):
        raise BadFile(f"The shard {shown(file)} lies outside {shown(root)}, and is not opened. Put it in the folder.")
    return path


def _indexed(root: Path, index: str, quantization: Mapping[str, Any] | None) -> Checkpoint:
    where = _inside(root, index)
    weight_map, total = parse_index(read_config(where), os.fspath(where))
    files = tuple(sorted(set(weight_map.values())))
    missing = [file for file in files if not os.path.lexists(_inside(root, file))]
    if len(missing) == len(files):
        return Checkpoint(_names_only(weight_map), total, (), (), quantization)
    if missing:
        shards = f"{len(missing)} of {len(files)} shards are missing in {shown(root)}"
        raise BadFile(f"{shards}, first {shown(missing[0])}. Download them, or keep the index alone for names only.")
    tensors, unlisted = _of_shards(root, files, weight_map)
    return Checkpoint(tensors, total_bytes(tensors), files, unlisted, quantization)


def _of_shards(
    root: Path, files: tuple[str, ...], weight_map: Mapping[str, str]
) -> tuple[tuple[StoredTensor, ...], tuple[str, ...]]:
    """The tensors that the index names, each found in the shard it names; and the others."""
    found: list[StoredTensor] = []
    unlisted: list[str] = []
    for file in files:
        for tensor in read_header(_inside(root, file)):
            if weight_map.get(tensor.name) == file:
                found.append(tensor)
            else:
                unlisted.append(tensor.name)
    if len(found) != len(weight_map):
        lost = min(set(weight_map) - {t.name for t in found})
        raise BadFile(
            f"The index of {shown(root)} places {shown(lost)} in {weight_map[lost]!r}, where it is not. {_AGAIN}"
        )
    return tuple(found), tuple(unlisted)


def parse_index(index: Mapping[str, Any], name: str) -> tuple[dict[str, str], int | Unknown]:
    """The `weight_map` of a safetensors index and its total size in bytes; raises BadFile when it is not one."""
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadFile(f"{shown(name)}: a weight_map of tensor names to files was expected. {_AGAIN}")
    for key, file in weight_map.items():
        if not isinstance(file, str) or not file.endswith(".safetensors") or "\0" in file:
            raise BadFile(f"{shown(name)}: {shown(key)} is placed in {shown(file)}, no .safetensors file. {_AGAIN}")
    metadata = index.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    # Some writers divide on the way and store 16060522496.0.
    if isinstance(total, float) and total.is_integer():
        total = int(total)
    if type(total) is int and total >= 0:
        return weight_map, total
    return weight_map, Unknown("the index gives no total_size and the shards are not here")


def _names_only(weight_map: Mapping[str, str]) -> tuple[StoredTensor, ...]:
    why = Unknown("only the index is here: it names tensors, and the shards' headers hold formats and shapes")
    return tuple(StoredTensor(name, why, why, why) for name in weight_map)


def _no_name_twice(tensors: Iterable[StoredTensor]) -> tuple[StoredTensor, ...]:
    seen: dict[str, StoredTensor] = {}
    for tensor in tensors:
        if tensor.name in seen:
            raise BadFile(f"The tensor {shown(tensor.name)} is in two shards. Remove the shard that does not belong.")
        seen[tensor.name] = tensor
    return tuple(seen.values())


def quantization_beside(config: Path) -> Mapping[str, Any] | None:
    """What ModelOpt wrote beside a config.json, if it did."""
    root = config.parent
    there = config.name == "config.json" and (root / QUANT_FILE).is_file()
    return _quantization(root) if there else None


def _quantization(root: Path) -> Mapping[str, Any]:
    """ModelOpt's hf_quant_config.json: the object under `quantization` (quant_algo, exclude_modules, ...)."""
    whole = read_config(_inside(root, QUANT_FILE))
    section = whole.get("quantization")
    if not isinstance(section, dict):
        raise BadFile(f"{shown(root / QUANT_FILE)}: an object under 'quantization' was expected. {_AGAIN}")
    return section
