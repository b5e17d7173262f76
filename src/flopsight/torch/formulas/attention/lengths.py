"""Real lengths of packed sequences, from the cumulative lengths that kernels are given."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import torch

from flopsight.torch.formulas.attention.seen import has_values, read
from flopsight.torch.registry import Uncountable

UNREAD: Final = Uncountable("the lengths of packed sequences have no values on meta or fake tensors")


def packed_lengths(cumulative: torch.Tensor, tokens: int, longest: int | None) -> tuple[int, ...] | Uncountable:
    """Lengths of the sequences between cumulative[i] and cumulative[i + 1].

    Without values they are known only where every sequence has to be as long as the longest.
    """
    if has_values(cumulative):
        return read((cumulative,), "packed", lambda: _differences(cumulative))
    count = cumulative.shape[0] - 1
    return (longest,) * count if longest and longest * count == tokens else UNREAD


def used_lengths(lengths: torch.Tensor) -> tuple[int, ...] | Uncountable:
    """Lengths as they are, one a sequence."""
    if has_values(lengths):
        return read((lengths,), "used", lambda: tuple(int(n) for n in lengths.tolist()))
    return UNREAD


def _differences(cumulative: torch.Tensor) -> tuple[int, ...]:
    edges = cumulative.tolist()
    return tuple(int(b - a) for a, b in pairwise(edges))
