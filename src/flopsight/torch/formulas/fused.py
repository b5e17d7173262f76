"""Whole layers in one kernel, and products of three: encoder layers, multi-head attention, bilinear forms, distances.

    encoder layer        2·T·E·3E + 4·pairs·E + 2·T·E·E + 4·T·E·F    (T tokens, E wide, F inside)
    multi-head attention the first three terms

`pairs` are query-key pairs by their sequences' real lengths; a mask tensor lowers what is required of them, not what
the kernel multiplies.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Final

import torch

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.formulas.attention.seen import has_values, read
from flopsight.torch.registry import Uncountable, formula, same

HIDDEN: Final = -1e4
"""A floating mask at or below this adds nothing to a softmax."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sequences of a batch: their lengths, and the width of a token."""

    lengths: tuple[int, ...]
    width: int

    @property
    def total(self) -> int:
        """Tokens of all sequences."""
        return sum(self.lengths)


def tokens(tensor: torch.Tensor) -> Tokens:
    """Of [batch, length, width] or a nested tensor of real lengths."""
    if tensor.is_nested:
        sizes = tensor._nested_tensor_size()
        return Tokens(tuple(int(n) for n in sizes[:, 0]), int(sizes[0, 1]))
    batch, length, width = tensor.shape
    return Tokens((length,) * batch, width)


def allowed(mask: torch.Tensor | None, kind: int | None, queries: Tokens, pairs: int) -> int:
    """Pairs that a mask lets through; True or minus infinity hides.

    [batch, keys] for padding (kind 1), else [.., queries, keys].
    """
    if mask is None or not has_values(mask):
        return pairs
    batch, length = len(queries.lengths), queries.lengths[0]
    if kind == 1 or mask.shape == (batch, mask.shape[-1]) != (length, length):
        return length * _kept(mask)
    return _kept(mask) * batch // max(1, int(prod(mask.shape[:-2])))


def _kept(mask: Any) -> int:
    return int(read((mask,), "kept", lambda: int((~mask if mask.dtype is torch.bool else mask > HIDDEN).sum().item())))


def _core(call: Call, queries: Tokens, keys: Tokens) -> Flops:
    pairs = sum(q * k for q, k in zip(queries.lengths, keys.lengths, strict=True))
    seen, one = allowed(call["mask"], call["mask_type"], queries, pairs), 4 * call["embed_dim"]
    return Flops(one * seen, one * pairs, one * pairs)


@formula("aten::_transformer_encoder_layer_fwd")
def encoder_layer(call: Call) -> Flops:
    """nn.TransformerEncoderLayer's fast path at inference."""
    source, width = tokens(call["src"]), call["embed_dim"]
    inside = call["ffn_weight_1"].shape[0]
    return same(2 * source.total * width * (4 * width + 2 * inside)) + _core(call, source, source)


@formula("aten::_native_multi_head_attention")
def multi_head_attention(call: Call) -> Flops:
    """nn.MultiheadAttention's fast path at inference."""
    queries, keys, width = tokens(call["query"]), tokens(call["key"]), call["embed_dim"]
    projected = 2 * queries.total + 2 * keys.total
    return same(2 * width * width * projected) + _core(call, queries, keys)


@formula("aten::_trilinear")
def trilinear(call: Call) -> Flops:
    """The sum of three broadcast factors: the first two are multiplied and summed, then the third."""
    first, second, third = (
        _widened(call[name], call[f"expand{place}"]) for place, name in enumerate(("i1", "i2", "i3"), 1)
    )
    pair = [max(sizes) for sizes in zip(first, second, strict=True)]
    left = [1 if d in call["sumdim"] and d in call["expand3"] else size for d, size in enumerate(pair)]
    both = [max(sizes) for sizes in zip(left, third, strict=True)]
    return same(2 * prod(pair) + 2 * prod(both))


def _widened(tensor: torch.Tensor, expanded: list[int]) -> list[int]:
    """The sizes with a one at each expanded dimension."""
    sizes = list(tensor.shape)
    for dimension in sorted(expanded):
        sizes.insert(dimension, 1)
    return sizes


@formula("aten::_cdist_forward")
def distances(call: Call) -> Any:
    """Euclidean distances of [.., p, m] and [.., r, m] are their product and two norms; others hold no product."""
    if call["p"] != 2.0:
        return Uncountable("distances other than the Euclidean hold no product")
    return same(2 * call.result.numel() * call["x1"].shape[-1])


@formula("aten::_euclidean_dist")
def euclidean(call: Call) -> Flops:
    """The same by one product, of rows with their norms and a one appended."""
    width, whole = call["x1"].shape[-1], 2 * call.result.numel()
    return Flops(whole * width, whole * width, whole * (width + 2))


@formula("aten::_cdist_backward", "aten::_pdist_forward", "aten::_pdist_backward")
def other_distances(call: Call) -> Any:
    """Element by element."""
    return Uncountable("distances element by element are not counted")


@formula("aten::linear_backward", "aten::mkldnn_linear_backward")
def linear_backward(call: Call) -> Flops:
    """The gradients of input and weight that are asked for."""
    return same(sum(call["output_mask"][:2]) * 2 * call["self"].numel() * call["weight"].shape[0])


@formula("aten::matmul_backward")
def matmul_backward(call: Call) -> Flops:
    """The gradients of either side that are asked for: each as large as the product."""
    return same(sum(call["mask"]) * 2 * call["grad"].numel() * call["self"].shape[-1])


@formula("aten::mkldnn_linear_backward_input", "aten::mkldnn_linear_backward_weights")
def linear_gradient(call: Call) -> Flops:
    """One gradient of a linear layer."""
    gradient, weight = call["grad_output"], call["weight"]
    return same(2 * gradient.numel() * weight.shape[-1])


@formula("aten::affine_grid_generator")
def affine_grid(call: Call) -> Flops:
    """The positions of a grid, with a one appended, times [d, d + 1] a sample."""
    return same(2 * call.result.numel() * call["theta"].shape[-1])


@formula("inductor::_mm_plus_mm")
def two_products(call: Call) -> Flops:
    """a·b + c·d."""
    return same(2 * call["a"].numel() * call["b"].shape[-1] + 2 * call["c"].numel() * call["d"].shape[-1])


@formula("symm_mem::_async_input_mm")
def awaited_product(call: Call) -> Flops:
    """[m, k] times [k, n] that starts while parts of the first arrive."""
    return same(2 * call["a"].numel() * call["b"].shape[-1])


@formula("symm_mem::fused_all_gather_matmul", "symm_mem::fused_all_gather_scaled_matmul")
def gathered_products(call: Call) -> Flops:
    """The gathered matrix times several."""
    outs = call.out[1]
    weights = call.first("Bs", "B")
    return same(sum(2 * out.numel() * weight.shape[-2] for out, weight in zip(outs, weights, strict=True)))


@formula("symm_mem::fused_matmul_reduce_scatter", "symm_mem::fused_scaled_matmul_reduce_scatter")
def scattered_product(call: Call) -> Flops:
    """A product whose parts are summed over ranks."""
    return same(2 * call.args[0].numel() * call.args[1].shape[-1])
