"""Why a matrix product is slow, from its shape, its kernel's name and the chip.

A block computes one tile of the output. Tiles at the border are computed whole (tile tail); blocks run in waves of one
for each multiprocessor, and the last wave is rarely full (wave tail). Rows whose length is no multiple of 16 bytes
cannot be loaded whole, and libraries then fall back to older kernels.

Sources: NVIDIA, Matrix Multiplication Background User's Guide (tile and wave quantization, alignment to 16 bytes).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from flopsight.hardware.chip import Chip
from flopsight.kernels.tile import Tile, tile_of

BYTES: Final = {"fp64": 8, "fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1}
ROW: Final = 16
"""Bytes to which rows of operands must be aligned for the fastest loads."""
SKINNY: Final = 16
SMALL_K: Final = 64
LEAST: Final = 0.05
"""Losses below this share are not told."""
CURRENT: Final = {"9.0": 90, "10.0": 100, "10.3": 100, "12.0": 100, "8.0": 80, "8.6": 80, "8.9": 80}


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause: a stable code, a sentence, and the share of the kernel's time that it can cost (None: not derived)."""

    code: str
    sentence: str
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class GemmLook:
    """What the name says, and what follows from it."""

    tile: Tile
    findings: tuple[Finding, ...]


def look(
    name: str, product: tuple[int, ...] | None, dtype: str, grid: tuple[int, ...], block: tuple[int, ...],
    chip: Chip | None, units: int | None = None, capability: str = "",
) -> GemmLook:  # fmt: skip
    """Findings on one matrix product, the largest known loss first.

    product   (batch, m, n, k); units: multiprocessors of the device; capability: "9.0" of it
    """
    tile = tile_of(name)
    if product is None or len(product) != 4 or min(product) < 1:
        return GemmLook(tile, ())
    units = units or _units(chip)
    found = [
        _alignment(tile, product, dtype), _legacy(tile, capability), _vector(tile, dtype, chip),
        _tile_tail(tile, product), _wave_tail(tile, product, grid, units), _skinny(product), _small_k(product),
    ]  # fmt: skip
    told = [one for one in found if one is not None]
    return GemmLook(tile, tuple(sorted(told, key=lambda f: -(f.loss if f.loss is not None else 0.99))))


def _units(chip: Chip | None) -> int | None:
    found = getattr(getattr(chip, "record", None), "units", None) if chip is not None else None
    return found if isinstance(found, int) else None


def _alignment(tile: Tile, product: tuple[int, ...], dtype: str) -> Finding | None:
    size = BYTES.get(dtype)
    if size is None:
        return None
    step = ROW // size
    _, m, n, k = product
    odd = {name: dim for name, dim in (("m", m), ("n", n), ("k", k)) if dim % step and dim > step}
    if not odd:
        return None
    hurts = tile.align is not None and tile.align < step
    pads = ", ".join(f"{name} = {dim:,} to {ceil(dim / step) * step:,}" for name, dim in odd.items())
    why = f"; the kernel loads {tile.align} element{'s' if tile.align != 1 else ''} at a time" if hurts else ""
    return Finding("misaligned", f"rows are no multiple of {ROW} bytes: pad {pads}{why}")


def _legacy(tile: Tile, capability: str) -> Finding | None:
    own = CURRENT.get(capability)
    if own is None or tile.arch is None or tile.arch >= own or own - tile.arch < 10:
        return None
    return Finding(
        "legacy_kernel", f"the kernel was written for sm_{tile.arch}; this device is sm_{capability.replace('.', '')}"
    )


def _vector(tile: Tile, dtype: str, chip: Chip | None) -> Finding | None:
    if tile.engine != "vector":
        return None
    if dtype == "fp32":
        return Finding("vector_engine", "fp32 runs on the vector engine; TF32 or bf16 would use the matrix engine")
    return Finding("vector_engine", "the kernel uses the vector engine, not the matrix engine")


def _tile_tail(tile: Tile, product: tuple[int, ...]) -> Finding | None:
    if tile.m is None or tile.n is None:
        return None
    _, m, n, _ = product
    computed = min(_padded(m, tile.m) * _padded(n, tile.n), _padded(m, tile.n) * _padded(n, tile.m))
    loss = 1 - m * n / computed
    if loss < LEAST:
        return None
    return Finding(
        "tile_tail",
        f"tiles of {tile.m} x {tile.n} overhang {m:,} x {n:,}: {loss:.0%} of what is computed is cut off",
        loss,
    )


def _padded(size: int, step: int) -> int:
    return ceil(size / step) * step


def _wave_tail(tile: Tile, product: tuple[int, ...], grid: tuple[int, ...], units: int | None) -> Finding | None:
    if tile.m is None or tile.n is None or not units:
        return None
    batch, m, n, _ = product
    tiles = batch * ceil(m / tile.m) * ceil(n / tile.n) * (tile.split or 1)
    waves = ceil(tiles / units)
    loss = 1 - tiles / (waves * units)
    if tiles < units:
        said = f"{tiles:,} tiles for {units} multiprocessors: {loss:.0%} of them have nothing to do"
        return Finding("few_tiles", said, loss)
    if loss < LEAST:
        return None
    said = f"{tiles:,} tiles are {tiles / units:.2f} waves of {units} multiprocessors: {loss:.0%} is lost in the last"
    return Finding("wave_tail", said, loss)


def _skinny(product: tuple[int, ...]) -> Finding | None:
    _, m, n, _ = product
    if min(m, n) > SKINNY:
        return None
    return Finding("skinny", f"only {min(m, n)} rows share each weight: bound by memory, not by arithmetic")


def _small_k(product: tuple[int, ...]) -> Finding | None:
    k = product[3]
    return Finding("small_k", f"k = {k}: little work for each element that is written") if k < SMALL_K else None
