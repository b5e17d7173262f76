"""Texts in which XLA's tracers write what a launch or a copy was, and the names of lines."""

from __future__ import annotations

import re
from typing import Final

GRID: Final = re.compile(r"\bgrid:(\d{1,9}),(\d{1,9}),(\d{1,9})")
BLOCK: Final = re.compile(r"\bblock:(\d{1,9}),(\d{1,9}),(\d{1,9})")
COPIED: Final = re.compile(r"\b(?:size|num_bytes):(\d{1,18})")
STREAM: Final = re.compile(r"Stream\s*#(\d{1,9})|(\d{1,9})\(")
DERIVED_FROM: Final = re.compile(r" - from #\d+$")
OPS, ASYNC, STEPS, MODULES = "XLA Ops", "Async XLA Ops", "Steps", "XLA Modules"
RANGES: Final = (STEPS, MODULES)
REPEATED: Final = (
    OPS, ASYNC, "XLA TraceMe", "Framework Ops", "Framework Name Scope", "TensorFlow Ops", "TensorFlow Name Scope",
    "Source code", "Source", "Launch Stats", "Host Offload Ops", "Overlay", "_counters_", "Tensor Core Sync Flag",
    "Sparse Core Steps", "Sparse Core Modules", "Sparse Core Ops", "Sparse Core Syncs",
)  # fmt: skip
"""Lines of a GPU that sum up what its streams say."""


def line_name(name: str) -> str:
    """The name without the stream that a line was derived from."""
    return DERIVED_FROM.sub("", name)


def stream(name: str) -> int | None:
    """The number of the stream that a line or thread is; None where its name is not a stream's."""
    found = STREAM.match(name)
    return int(found[1] or found[2]) if found else None


def moved(text: str) -> int:
    """Bytes; -1 where not said. The ROCm tracer writes size 0 for copies whose size it does not know."""
    found = COPIED.search(text)
    return int(found[1]) or -1 if found else -1


def grid(text: str) -> tuple[int, int, int]:
    """Blocks of a launch; -1 where not said."""
    return _three(GRID, text)


def block(text: str) -> tuple[int, int, int]:
    """Threads of a block; -1 where not said."""
    return _three(BLOCK, text)


def _three(pattern: re.Pattern[str], text: str) -> tuple[int, int, int]:
    found = pattern.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (-1, -1, -1)
