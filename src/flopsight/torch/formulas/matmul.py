"""Products of matrices and vectors: 2·rows·inner·columns, bias not counted."""

from __future__ import annotations

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.registry import formula, same


@formula("aten::mm", "aten::bmm", "aten::_int_mm")
def product(call: Call) -> Flops:
    """[.., n, k] times [.., k, m]."""
    left, right = call.args[0], call.args[1]
    return same(2 * left.numel() * right.shape[-1])


@formula("aten::addmm", "aten::baddbmm", "aten::_addmm_activation", "aten::addmm_", "aten::baddbmm_")
def added_product(call: Call) -> Flops:
    """A bias or matrix plus [.., n, k] times [.., k, m]."""
    left, right = call.args[1], call.args[2]
    return same(2 * left.numel() * right.shape[-1])


@formula("aten::addbmm", "aten::addbmm_")
def summed_products(call: Call) -> Flops:
    """The sum over the batch of [b, n, k] times [b, k, m]."""
    left, right = call.args[1], call.args[2]
    return same(2 * left.numel() * right.shape[-1])


@formula("aten::mv", "aten::dot", "aten::vdot")
def with_vector(call: Call) -> Flops:
    """[n, k] times [k], or [k] times [k]."""
    return same(2 * call.args[0].numel())


@formula("aten::addmv", "aten::addmv_")
def added_with_vector(call: Call) -> Flops:
    """A vector plus [n, k] times [k]."""
    return same(2 * call.args[1].numel())


@formula("aten::linear", "mkldnn::_linear_pointwise", "aten::mkldnn_linear", "aten::_mkldnn_linear")
def linear(call: Call) -> Flops:
    """[.., k] times the weight's [m, k]."""
    return same(2 * call.args[0].numel() * call.args[1].shape[0])
