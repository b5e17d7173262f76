"""The readers of untrusted files, as functions of bytes that may end in an answer or in a FlopsightError only."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable

from flopsight.errors import FlopsightError
from flopsight.facts import Unknown
from flopsight.models.sources.gguf import parse_gguf
from flopsight.models.sources.gguf_config import gguf_config
from flopsight.models.sources.json_config import parse_object
from flopsight.models.sources.safetensors import parse_header, parse_index
from flopsight.models.sources.tensors import total_bytes
from tests.fuzz import configs, traces


def fuzz_json(data: bytes) -> None:
    """A config or an index: whatever is accepted is an object that can be written again as text."""
    with contextlib.suppress(FlopsightError):
        made = parse_object(data, "fuzz.json")
        assert isinstance(made, dict)
        json.dumps(made, ensure_ascii=False).encode()
        parse_index(made, "fuzz.json")


def fuzz_safetensors(data: bytes) -> None:
    """A header: whatever is accepted accounts for every byte of the file."""
    with contextlib.suppress(FlopsightError):
        tensors = parse_header(io.BytesIO(data), len(data), "fuzz.safetensors")
        header = int.from_bytes(data[:8], "little")
        assert total_bytes(tensors) == len(data) - 8 - header


def fuzz_gguf(data: bytes) -> None:
    """A header and its config: whatever is accepted lies within the file, once strictly and once without its data."""
    for whole in (True, False):
        with contextlib.suppress(FlopsightError):
            file = parse_gguf(io.BytesIO(data), len(data), "fuzz.gguf", whole=whole)
            size = total_bytes(file.tensors)
            assert not isinstance(size, Unknown)
            assert not whole or size < len(data)
            config = gguf_config(file)
            assert isinstance(config["model_type"], str)


def fuzz_config(data: bytes) -> None:
    """Mutations of a real config, four bytes each: level, key (two bytes), value; all are survived."""
    if len(data) < 5:
        return
    raw = configs.raw_config(configs.NAMES[data[0] % len(configs.NAMES)])
    for start in range(1, min(len(data) - 3, 20), 4):
        level, high, low, value = data[start : start + 4]
        choices = [*configs.HOSTILE, "gone", value]
        raw = configs.mutated(raw, level, 256 * high + low, choices[value % len(choices)])
    configs.count(raw)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "json": fuzz_json,
    "safetensors": fuzz_safetensors,
    "gguf": fuzz_gguf,
    "config": fuzz_config,
    **traces.TARGETS,
}
