"""Sparse matrices times dense ones: two FLOPs a stored element and column; the dense zeros are nobody's work."""

from __future__ import annotations

from typing import Any

import torch

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.registry import Uncountable, formula, same

BOTH = "both sides are sparse: how many of their elements meet is not known before it ran"


def stored(tensor: torch.Tensor) -> int:
    """Elements that a sparse tensor stores, zeros in blocks too."""
    values = tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()
    return int(values.numel())


def sparse_product(left: torch.Tensor, right: torch.Tensor) -> Any:
    """[n, k] times [k, m], one of them sparse."""
    if left.layout is not torch.strided and right.layout is not torch.strided:
        return Uncountable(BOTH)
    if left.layout is torch.strided:
        return same(2 * left.shape[-2] * stored(right))
    columns = right.shape[-1] if right.dim() > 1 else 1
    return same(2 * stored(left) * columns)


@formula("aten::_sparse_mm", "aten::_sparse_mm_reduce_impl", "aten::hspmm")
def product(call: Call) -> Any:
    """Sparse times dense."""
    return sparse_product(call.args[0], call.args[1])


@formula("aten::_sparse_addmm", "aten::sspaddmm")
def added_product(call: Call) -> Any:
    """A matrix plus sparse times dense."""
    return sparse_product(call.args[1], call.args[2])


@formula("aten::sparse_sampled_addmm")
def sampled(call: Call) -> Flops:
    """Dense times dense, only where the first argument stores an element."""
    return same(2 * stored(call.args[0]) * call.args[1].shape[-1])


@formula("aten::_sparse_sparse_matmul", "aten::_sparse_mm_reduce_impl_backward")
def unknown(call: Call) -> Any:
    """Meeting elements are counted by nobody."""
    return Uncountable(BOTH)
