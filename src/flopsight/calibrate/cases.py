"""What a calibration measures: kernels over shapes that prediction leans on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Room = Literal["gemm", "attention_prefill", "attention_decode", "norm", "copy", "launch", "graph"]

WIDTHS: Final = ((4096, 4096), (14336, 4096), (4096, 14336), (1280, 8192), (7168, 8192), (8192, 3584))
TOKENS: Final = (1, 8, 32, 128, 512, 2048, 8192)
QUICK_WIDTHS: Final = ((1024, 1024), (2048, 1024))
QUICK_TOKENS: Final = (1, 16, 256)


@dataclass(frozen=True, slots=True)
class Case:
    """One kernel at one shape.

    room    the kind of kernel
    dtype   number format it runs in
    shape   m, n, k of a product; batch, heads, kv_heads, width, length of attention; rows, width of a norm; bytes
    flops, moved   what it must do at least
    """

    room: Room
    dtype: str
    shape: dict[str, int]
    flops: int = 0
    moved: int = 0

    def __hash__(self) -> int:
        return hash((self.room, self.dtype, tuple(self.shape.items())))


def cases(dtypes: tuple[str, ...], *, quick: bool = False) -> list[Case]:
    """Every case, small ones first within a room."""
    found = [gemm(m, n, k, dtype) for dtype in dtypes for n, k in _widths(quick) for m in _tokens(quick)]
    plain = next((d for d in dtypes if d in ("bf16", "fp16", "fp32")), dtypes[0])
    found += [_prefill(length, plain) for length in ((256,) if quick else (512, 2048, 8192))]
    grid = ((4, 512),) if quick else ((1, 4096), (16, 4096), (64, 4096), (16, 32768))
    found += [_decode(batch, past, plain) for batch, past in grid]
    found += [_norm(rows, plain) for rows in ((64,) if quick else (1, 128, 8192))]
    found += [Case("copy", plain, {"bytes": size}, moved=2 * size) for size in _sizes(quick)]
    return [*found, Case("launch", plain, {"kernels": 100}), Case("graph", plain, {"kernels": 100})]


def _widths(quick: bool) -> tuple[tuple[int, int], ...]:
    return QUICK_WIDTHS if quick else WIDTHS


def _tokens(quick: bool) -> tuple[int, ...]:
    return QUICK_TOKENS if quick else TOKENS


def _sizes(quick: bool) -> tuple[int, ...]:
    return (2**24,) if quick else (2**20, 2**24, 2**28, 2**30)


def gemm(m: int, n: int, k: int, dtype: str) -> Case:
    """[m, k] x [k, n]."""
    each = {"fp8": 1, "fp32": 4}.get(dtype, 2)
    moved = (m * k + n * k) * each + m * n * max(2, each)
    return Case("gemm", dtype, {"m": m, "n": n, "k": k}, 2 * m * n * k, moved)


def _prefill(length: int, dtype: str, heads: int = 32, kv: int = 8, width: int = 128) -> Case:
    shape = {"batch": 1, "heads": heads, "kv_heads": kv, "width": width, "length": length}
    moved = 2 * length * width * (2 * heads + 2 * kv)
    return Case("attention_prefill", dtype, shape, 4 * heads * width * (length * (length + 1) // 2), moved)


def _decode(batch: int, past: int, dtype: str, heads: int = 32, kv: int = 8, width: int = 128) -> Case:
    shape = {"batch": batch, "heads": heads, "kv_heads": kv, "width": width, "length": past}
    return Case("attention_decode", dtype, shape, 4 * batch * heads * width * past, 4 * batch * kv * width * past)


def _norm(rows: int, dtype: str, width: int = 8192) -> Case:
    return Case("norm", dtype, {"rows": rows, "width": width}, moved=4 * rows * width)
