"""Products of matrices and vectors: 2·rows·inner·columns, bias not counted."""

from __future__ import annotations

from typing import Any, Final

import torch

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.formulas.sparse import sparse_product
from flopsight.torch.registry import formula, same

_STRIDED: Final = torch.strided


@formula("aten::mm", "aten::bmm", "aten::_int_mm")
def product(call: Call) -> Any:
    """[.., n, k] times [.., k, m]."""
    left, right = call.args[0], call.args[1]
    if left.layout is not _STRIDED or right.layout is not _STRIDED:
        return sparse_product(left, right)
    return same(2 * left.numel() * right.shape[-1])


@formula("aten::addmm", "aten::baddbmm", "aten::_addmm_activation", "aten::addmm_", "aten::baddbmm_")
def added_product(call: Call) -> Any:
    """A bias or matrix plus [.., n, k] times [.., k, m]."""
    left, right = call.args[1], call.args[2]
    if left.layout is not _STRIDED or right.layout is not _STRIDED:
        return sparse_product(left, right)
    return same(2 * left.numel() * right.shape[-1])


@formula("aten::_foreach_mm", "_native::_foreach_mm_native_0")
def products(call: Call) -> Flops:
    """Pairs of matrices from two lists."""
    pairs = zip(call.args[0], call.args[1], strict=True)
    return same(sum(2 * left.numel() * right.shape[-1] for left, right in pairs))


@formula("aten::addbmm", "aten::addbmm_")
def summed_products(call: Call) -> Flops:
    """The sum over the batch of [b, n, k] times [b, k, m]."""
    left, right = call.args[1], call.args[2]
    return same(2 * left.numel() * right.shape[-1])


@formula("aten::mv", "aten::dot", "aten::vdot")
def with_vector(call: Call) -> Any:
    """[n, k] times [k], or [k] times [k]."""
    if call.args[0].layout is not _STRIDED:
        return sparse_product(call.args[0], call.args[1])
    return same(2 * call.args[0].numel())


@formula("aten::addmv", "aten::addmv_")
def added_with_vector(call: Call) -> Any:
    """A vector plus [n, k] times [k]."""
    if call.args[1].layout is not _STRIDED:
        return sparse_product(call.args[1], call.args[2])
    return same(2 * call.args[1].numel())


@formula("aten::linear", "mkldnn::_linear_pointwise", "aten::mkldnn_linear")
def linear(call: Call) -> Flops:
    """[.., k] times the weight's [m, k]."""
    return same(2 * call.args[0].numel() * call.args[1].shape[0])
