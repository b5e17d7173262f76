"""Numbers that worked problems take for granted: chips as their book rounds them, and the models their chapters use.

The scaling book rounds the bandwidth of a TPU v5e to 8.1e11 B/s where the catalogue says 8.19e11; a problem stated with
the one is not solved with the other. Everything else comes from our own catalogue and configs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from flopsight.conventions.view import View, view
from flopsight.facts import Fact, Unknown
from flopsight.hardware.catalog import find
from flopsight.models.ledger import ledger
from flopsight.models.tree import Model
from flopsight.validate.shapes import named
from flopsight.workload import Workload

BYTES: Final = {
    "int4": 0.5, "fp4": 0.5, "4-bit": 0.5, "int8": 1.0, "fp8": 1.0, "8-bit": 1.0, "bf16": 2.0, "bfloat16": 2.0,
    "fp16": 2.0, "float16": 2.0, "16-bit": 2.0, "fp32": 4.0, "float32": 4.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Constants:
    """A chip in round numbers: FLOP/s in bf16 and in 8 bits, B/s and bytes of HBM, chips of a pod and of a host.

    ici   one-way B/s of one link;  pcie  B/s from the host
    """

    bf16: float
    byte: float
    bandwidth: float
    memory: float
    ici: float = 0.0
    pcie: float = 0.0
    pod: int = 0
    host: int = 0
    cores: int = 1


BOOK: Final = {
    "v3": Constants(1.4e14, 1.4e14, 9.0e11, 32e9, 1e11, 0, 1024, 8, 2),
    "v4p?": Constants(2.75e14, 2.75e14, 1.2e12, 32e9, 4.5e10, 0, 4096, 4, 2),
    "v5e": Constants(1.97e14, 3.94e14, 8.1e11, 16e9, 4.5e10, 1.5e10, 256, 8, 1),
    "v5p": Constants(4.59e14, 9.18e14, 2.8e12, 96e9, 9e10, 0, 8960, 4, 2),
    "v6e": Constants(9.2e14, 1.84e15, 1.6e12, 32e9, 9e10, 1.5e10, 256, 8, 1),
}  # fmt: skip
"""jax-ml/scaling-book:tpus.md, tables of chips and of interconnects, at 0819a7d."""

CATALOGUED: Final = {
    "a100-80gb": "nvidia-a100-sxm4-80gb", "a100-40gb": "nvidia-a100-sxm4-40gb", "a100": "nvidia-a100-sxm4-80gb",
    "h100": "nvidia-h100-sxm5-80gb", "h200": "nvidia-h200-sxm-141gb", "v100": "nvidia-v100-sxm2-16gb",
}  # fmt: skip


def _from_catalogue(name: str) -> Constants:
    chip = find(name)

    def value(known: Fact | Unknown) -> float:
        return float(known.value) if isinstance(known, Fact) else 0.0

    half = value(chip.peak("bf16")) or value(chip.peak("fp16"))
    byte = value(chip.peak("fp8")) or value(chip.peak("int8"))
    return Constants(half, byte, value(chip.memory_bandwidth()), float(chip.record.memory.bytes or 0))


@lru_cache(1)
def chips() -> dict[str, Constants]:
    """Chips by the word (a pattern) a question names them with."""
    return BOOK | {word: _from_catalogue(name) for word, name in CATALOGUED.items()}


CHAPTERS: Final = {
    "arith-sb-training": "llama-3-70b", "arith-sb-inference": "llama-3-70b", "arith-sb-train2": "llama-2-13b",
    "arith-palm": "palm 540b",
}  # fmt: skip
"""The model a chapter's problems are about where a question names none."""


class Dims:
    """L layers, D width, F inner width, N heads, K key-value heads, H head width, V vocabulary; None if unknown."""

    def __init__(self, values: Mapping[str, float | None]) -> None:
        self._values = dict(values)

    def get(self, name: str) -> float | None:
        """One of them."""
        return self._values.get(name)

    def all(self, *names: str) -> tuple[float, ...] | None:
        """Several of them, or None if one is missing."""
        found = [self._values.get(name) for name in names]
        known = tuple(one for one in found if one is not None)
        return known if len(known) == len(found) else None

    @property
    def query(self) -> float | None:
        """N·H: all heads together, D where the heads are not given."""
        both = self.all("N", "H")
        return both[0] * both[1] if both else self.get("D")

    @property
    def keys(self) -> float | None:
        """K·H: all key heads together; multi-head attention where K is not given."""
        both = self.all("K", "H")
        return both[0] * both[1] if both else self.query


ALIASES: Final = {"llama-3-70b": "llama-3.1-70b", "llama3-70b": "llama-3.1-70b", "llama-33b": "llama-30b"}
PAPERS: Final = {"llama-65b": {"L": 80.0, "D": 8192.0, "F": 22016.0, "N": 64.0, "K": 64.0, "H": 128.0, "V": 32000.0}}
"""Models no config of which is bundled: arXiv 2302.13971, table 2."""


@lru_cache(64)
def model_in(text: str) -> Model | None:
    """The bundled model a text names: the longest run of words that is one."""
    for word in sorted(re.findall(r"[a-z][a-z0-9.]*(?:[- ][a-z0-9.]+){0,3}", text.lower()), key=len, reverse=True):
        parts = re.split(r"[- ]", word.strip(".:,"))
        for end in range(len(parts), 0, -1):
            name = "-".join(parts[:end])
            found = named(ALIASES.get(name) or name) if end > 1 or name[-1:].isdigit() else None
            if found is not None:
                return found
    return None


@lru_cache(64)
def view_in(text: str, seq: int = 2048) -> View | None:
    """The view of the model a text names, in training at a length."""
    model = model_in(text)
    return view(ledger(model), Workload("train", 1, seq, logits="all")) if model else None


def dims_of_model(text: str) -> Dims | None:
    """The dimensions of the model a text names."""
    paper = next((values for name, values in PAPERS.items() if name in text.lower()), None)
    if paper:
        return Dims(paper)
    v = view_in(text) if text else None
    if v is None or not v.attention or v.experts:
        return None
    layer, count = v.attention[0], v.layers
    head = layer.width / layer.heads / 2
    inner = v.feed_forward / count / v.width / 3
    values = {"L": count, "D": v.width, "F": inner, "N": layer.heads, "K": layer.kv_heads, "H": head, "V": v.vocab}
    return Dims(values)
