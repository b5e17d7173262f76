"""What the name of a matrix product's kernel says: tile, engine, alignment, for which architecture it was written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from flopsight.kernels.words import LONGEST


@dataclass(frozen=True, slots=True)
class Tile:
    """Read from a name; None and "" where it does not say.

    m, n, k       output tile of a block, and the depth of a step
    align         elements to which rows must be aligned
    arch          compute capability that it was written for: 75, 80, 90, 100
    engine        "matrix" or "vector"
    split         slices of k that are added up afterwards
    layout        "tn", "nt", "nn", "tt"
    """

    m: int | None = None
    n: int | None = None
    k: int | None = None
    align: int | None = None
    arch: int | None = None
    engine: str = ""
    split: int | None = None
    layout: str = ""


TILES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"tilesize(\d{1,4})x(\d{1,4})x(\d{1,4})", r"_MT(\d{1,4})x(\d{1,4})x(\d{1,4})",
        r"(?<![\d])(\d{2,3})x(\d{2,3})_(\d{1,3})x\d",
        r"nvjet_\w*?(\d{2,3})x(\d{2,3})_(\d{1,3})x\d", r"gemmshape<(\d{1,4}), ?(\d{1,4}), ?(\d{1,4})>",
        r"BLOCK_M[_=:]?(\d+).{0,40}?BLOCK_N[_=:]?(\d+).{0,40}?BLOCK_K[_=:]?(\d+)",
        r"(?:[shdzc]?gemm|s\d+gemm|i\d+gemm|tensorop\w*?)_(?:\w*?_)?(\d{2,3})x(\d{2,3})x?(\d{1,3})?",
    )
)  # fmt: skip
ALIGN: Final = re.compile(r"align(\d{1,2})", re.IGNORECASE)
ARCH: Final = re.compile(r"(?:sm|cutlass_)(\d{2,3})(?:_|x)", re.IGNORECASE)
NAMES: Final = (("volta", 70), ("turing", 75), ("ampere", 80), ("hopper", 90), ("nvjet_sm100", 100), ("nvjet", 90))
SPLIT: Final = re.compile(r"split[_-]?k[_x]?(\d{1,3})|_GSU(\d{1,3})|sliced1x(\d)", re.IGNORECASE)
LAYOUT: Final = re.compile(r"_([tn][tn])(?:_|\b)", re.IGNORECASE)
CIJK: Final = re.compile(r"Cijk_(A\w{3})_(B\w{3})")
MATRIX: Final = re.compile(
    r"tensorop|xmma|wgmma|hmma|imma|h\d{3,4}|s1688|s16816|16816|884|1688|nvjet|_MI\d|mfma|bf16|_tc_|tf32", re.IGNORECASE
)
VECTOR: Final = re.compile(r"simt|sgemm|dgemm|gemv|gemmk1|ffma", re.IGNORECASE)


def tile_of(name: str) -> Tile:
    """Everything that the name says."""
    name = name[:LONGEST]
    m, n, k = _sizes(name)
    align, split = ALIGN.search(name), SPLIT.search(name)
    parts = next((int(g) for g in split.groups() if g), None) if split else None
    return Tile(
        m, n, k, int(align.group(1)) if align else None, _arch(name), _engine(name),
        parts if parts and parts > 1 else None, _layout(name),
    )  # fmt: skip


def _sizes(name: str) -> tuple[int | None, int | None, int | None]:
    for pattern in TILES:
        match = pattern.search(name)
        if match:
            m, n, k = (int(g) if g else None for g in match.groups())
            if m and n and m >= 8 and n >= 8:
                return m, n, k
    return None, None, None


def _arch(name: str) -> int | None:
    match = ARCH.search(name)
    if match:
        return int(match.group(1))
    low = name.lower()
    return next((arch for word, arch in NAMES if word in low), None)


def _engine(name: str) -> str:
    if re.search(r"simt|gemv|gemmk1", name, re.IGNORECASE):
        return "vector"
    if MATRIX.search(name):
        return "matrix"
    return "vector" if VECTOR.search(name) else ""


def _layout(name: str) -> str:
    cijk = CIJK.search(name)
    if cijk:
        # Tensile names the free index first where rows are contiguous
        return ("n" if cijk.group(1)[1] == "i" else "t") + ("n" if cijk.group(2)[1] == "l" else "t")
    match = LAYOUT.search(name)
    return match.group(1).lower() if match else ""
