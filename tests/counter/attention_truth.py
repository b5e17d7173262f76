"""Ground truth for attention tests: pairs counted one by one, and stand-ins for libraries that need a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.registry import FORMULAS


def pairs(queries: int, keys: int, allowed: Callable[[int, int], bool]) -> int:
    """Pairs that a rule allows, one by one."""
    return sum(allowed(i, j) for i in range(queries) for j in range(keys))


def answer(op: Any, *args: Any, **kwargs: Any) -> Any:
    """What the formula of an op says of a call that is not run."""
    return FORMULAS[op._schema.name](Call(op, args, kwargs, None))


def flops(pairs: int, square: int, run: int, widths: int) -> Flops:
    """A forward pass of these pairs, `widths` being key width plus value width."""
    return Flops(2 * pairs * widths, 2 * square * widths, 2 * run * widths)


def edges(lengths: list[int]) -> torch.Tensor:
    """Cumulative lengths as kernels take them."""
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
