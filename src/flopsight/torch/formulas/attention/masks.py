"""How many query-key pairs a mask tensor lets through: a boolean one where it is True, an added one by its size.

An added mask excludes a pair with -inf or a number so low that no bias is meant: -1e8 and below, in fp16 half of its
lowest number. -10000, which older models add, excludes if the tensor holds nothing between its bulk and there; a
bias that grows with distance (ALiBi) reaches -10000 evenly, and is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch

from flopsight.torch.formulas.attention.seen import has_values, read

LOW: Final = -1e8
SUSPECT: Final = -9000.0
CHUNK: Final = 1 << 26
"""Elements looked at at once, so that looking does not double a program's memory."""
UNREAD: Final = "a mask on meta or fake tensors has no values: the whole score square was taken as required"


def limit(dtype: torch.dtype) -> float:
    """The number at and below which an added mask of this format excludes."""
    return max(LOW, float(torch.finfo(dtype).min) / 2)


def mask_pairs(mask: torch.Tensor, scores: Sequence[int], right: int | None = None) -> int | None:
    """Pairs of the score square [.., queries, keys] that a mask lets through, exactly, whatever it broadcasts over.

    right   also exclude keys above query + right; None for no such flag
    None where the mask's values cannot be read.
    """
    if not has_values(mask):
        return None
    shape = tuple(int(size) for size in scores)
    return read((mask,), ("pairs", shape, right), lambda: _pairs(mask, shape, right))


def _pairs(mask: torch.Tensor, shape: tuple[int, ...], right: int | None) -> int:
    one = _stored(mask)
    if right is not None:
        queries, keys = shape[-2:]
        one = one.expand(*one.shape[:-2], queries, keys)
    repeats = _size(shape) // one.numel() if one.numel() else 0
    below = _threshold(one)
    return repeats * sum(int(_allowed(part, below, row, right)) for row, part in _parts(one))


def _stored(mask: torch.Tensor) -> torch.Tensor:
    """The mask without what broadcasting repeats, at least two-dimensional."""
    for dim, stride in enumerate(mask.stride()):
        if stride == 0:
            mask = mask.narrow(dim, 0, min(1, mask.shape[dim]))
    return mask.reshape((1,) * (2 - mask.dim()) + tuple(mask.shape)) if mask.dim() < 2 else mask


def _parts(mask: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
    """Blocks of rows, with the number of their first row."""
    rows = max(1, CHUNK * max(1, mask.shape[-2]) // max(1, mask.numel()))
    return list(zip(range(0, mask.shape[-2], rows), mask.split(rows, -2), strict=True)) if mask.numel() else []


def _allowed(part: torch.Tensor, below: Callable[[torch.Tensor], torch.Tensor], row: int, right: int | None) -> int:
    allowed = below(part)
    if right is not None:
        allowed = allowed.tril(right + row)
    return int(allowed.sum().item())


def _threshold(mask: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Which elements let a pair through."""
    if not mask.dtype.is_floating_point:
        return lambda part: part != 0
    low = limit(mask.dtype)
    least = float(mask.min().item()) if mask.numel() else 0.0
    if low < least <= SUSPECT and _two_heaps(mask, least):
        low = least / 2
    return lambda part: ~(part <= low)


def _two_heaps(mask: torch.Tensor, least: float) -> bool:
    """Whether an added mask's elements are either near the least or near none."""
    return not bool(((mask > 0.9 * least) & (mask < 0.1 * least)).any().item())


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
