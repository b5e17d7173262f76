"""A worked problem in words: its question, its inputs, and what can be read out of both."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flopsight.validate.arithmetic.constants import BYTES, CHAPTERS, Constants, Dims, chips, dims_of_model
from flopsight.validate.rows import Row

LONGEST: Final = 4000
SCALE: Final = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15}
NUMBER: Final = r"(\d+(?:\.\d+)?(?:e\d+)?)"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    q        the question in lower case; `text` as written
    inputs   numbers and words by name
    unit     unit the answer is asked in
    chapter  the group, which for a book is the chapter
    earlier  the answer of the problem before it in the same group, where that one was solved
    """

    text: str
    inputs: Mapping[str, float | str]
    unit: str
    chapter: str
    earlier: float | None = None

    @property
    def q(self) -> str:
        """The question in lower case."""
        return self.text.lower()

    def has(self, *patterns: str) -> bool:
        """Whether every pattern is found in the question."""
        return all(re.search(pattern, self.q) for pattern in patterns)

    def any(self, *patterns: str) -> bool:
        """Whether one of the patterns is found."""
        return any(re.search(pattern, self.q) for pattern in patterns)

    def get(self, *names: str) -> float | None:
        """The first of some inputs that is there, as a number."""
        for name in names:
            value = self.inputs.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        return None

    def given(self, *names: str) -> bool:
        """Whether all of some inputs are there as numbers."""
        return all(self.get(name) is not None for name in names)

    def number(self, pattern: str) -> float | None:
        """The number a pattern with one group finds in the question: "batch (43)"."""
        found = re.search(pattern, self.q)
        return float(found[1].replace(",", "")) if found else None

    def times(self, *values: float | None) -> float | None:
        """A product, or None if a factor is missing."""
        return None if any(v is None for v in values) else math.prod(v for v in values if v is not None)

    # ------------------------------------------------------------ what the words mean

    @property
    def chip(self) -> Constants | None:
        """The chip the question names, with the constants its own book rounds to."""
        for name, chip in chips().items():
            if re.search(rf"\b{name}\b", self.q):
                return chip
        return None

    @property
    def dims(self) -> Dims:
        """L, D, F, N, K, H, V: from the inputs, else of the model the question (or its chapter) is about."""
        named = dims_of_model(self.q) or dims_of_model(CHAPTERS.get(self.chapter, ""))
        own = {name: self.get(name) for name in ("L", "D", "F", "N", "K", "H", "V")}
        lower = {"L": self.get("layers"), "D": self.get("d", "hidden"), "V": self.get("vocab")}
        found = {name: own[name] if own[name] is not None else lower.get(name) for name in own}
        if found["D"] is not None or named is None:
            return Dims(found)
        return Dims({name: found[name] if found[name] is not None else named.get(name) for name in found})

    @property
    def nominal(self) -> float | None:
        """Parameters as the question gives them: an input, "70e9 params", or the number in a name such as 70B."""
        value = self.get("N", "params_count", "n_params", "params")
        if value is not None and value > 1e6:
            return value
        written = self.number(rf"{NUMBER}[\s-]*param")
        if written is not None:
            return written
        found = re.search(r"\b(\d+(?:\.\d+)?)\s?([bt])\b", self.q)
        return float(found[1]) * SCALE[found[2]] if found else None

    @property
    def width(self) -> float | None:
        """Bytes of a value of the weights: an input, a dtype input, or the first dtype word of the question."""
        stated = self.get("bytes", "bytes_per_param")
        if stated is not None and stated <= 32:
            return stated
        word = self.inputs.get("dtype")
        return BYTES.get(word.lower()) if isinstance(word, str) else self.word_bytes()

    def word_bytes(self) -> float | None:
        """Bytes of the first dtype the question names."""
        found = re.search(r"\b(int8|int4|fp8|fp4|bf16|bfloat16|fp16|float16|fp32|float32|16-bit|8-bit|4-bit)\b", self.q)
        return BYTES[found[1]] if found else None

    @property
    def chips(self) -> float | None:
        """Devices: an input, "16-chip", "on 32 TPU", "8xH100", or a slice such as 4x4 (a product)."""
        value = self.get("chips", "gpus", "devices", "n_chips", "X_chips")
        if value is not None:
            return value
        for pattern in (
            r"(\d[\d,]*)[\s-]*(?:tpu|chips?\b|gpus?\b|devices?\b|v5e|v5p|v4)",
            r"(\d+)\s?x\s?(?:a100|h100|h200|h800)",
        ):
            found = self.number(pattern)
            if found:
                return found
        return self.slice

    @property
    def slice(self) -> float | None:
        """Chips of a slice written as 4x4 or 16x16x16."""
        found = re.search(r"\b(\d+)\s?x\s?(\d+)(?:\s?x\s?(\d+))?\b", self.q)
        return math.prod(int(one) for one in found.groups() if one) if found else None

    @property
    def tokens(self) -> float | None:
        """Tokens of a sequence: an input, "32k-token", "8192 tokens"; k is 1024 here."""
        value = self.get("tokens", "seq", "T", "S", "s", "context")
        if value is not None:
            return value
        kilo = self.number(r"(\d+)k[\s-]*(?:token|context|seq)")
        return kilo * 1024 if kilo else self.number(r"(\d[\d,]*)[\s-]*tokens?\b")

    @property
    def batch(self) -> float | None:
        """Sequences together: an input, "batch 43", "BS=240"."""
        value = self.get("bs", "batch", "batch_size")
        return value if value is not None else self.number(r"\b(?:batch(?: size)?|bs)\s*=?\s*(\d+)\b")

    def arrays(self) -> list[tuple[str, list[float | None]]]:
        """Arrays such as int8[128k,128k] with their sizes; None for a size that is a letter."""
        found = re.findall(r"\b(int8|int4|fp8|bf16|bfloat16|fp32|float32)\s?\[([^\]]{1,80})\]", self.q)
        return [(dtype, [_size(one) for one in sizes.split(",")]) for dtype, sizes in found]

    def array_bytes(self) -> float | None:
        """Bytes of the first array of the question whose sizes are all numbers."""
        for dtype, sizes in self.arrays():
            if all(size is not None for size in sizes):
                return BYTES[dtype] * math.prod(size for size in sizes if size is not None)
        return None

    def axes(self) -> dict[str, int]:
        """Mesh axes with their sizes: "X=2,Y=8 (Z=2 replicated)"."""
        return {name: int(size) for name, size in re.findall(r"\b([XYZ])\s?=\s?(\d{1,6})\b", self.text)}


def _size(text: str) -> float | None:
    """131072 for "128k", "128*1024" or "131072"; None for a letter. A sharding suffix (1024_x) is dropped."""
    total = 1.0
    for factor in re.split(r"\s*\*\s*", text.strip().split("_")[0]):
        found = re.fullmatch(r"(\d+)(k?)", factor)
        if not found:
            return None
        total *= int(found[1]) * (1024 if found[2] else 1)
    return total


@dataclass(frozen=True, slots=True)
class Rule:
    """One formula and the questions it answers; `solve` gives None for every other question."""

    name: str
    formula: str
    solve: Callable[[Problem], float | None]


def problem_of(row: Row, earlier: float | None = None) -> Problem:
    """The problem of a row; BadFile for one without a question; inputs that are no number and no word are not read."""
    question, inputs = row.problem.get("question"), row.problem.get("inputs") or {}
    if not isinstance(question, str) or not isinstance(inputs, dict):
        raise row.wrong("problem", row.problem, "a question in words with an object of inputs")
    kept: dict[str, float | str] = {}
    for name, value in inputs.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            kept[name] = value
    unit = row.measured.get("unit")
    return Problem(question[:LONGEST], kept, unit if isinstance(unit, str) else "", row.group, earlier)
