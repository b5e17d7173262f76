"""F.scaled_dot_product_attention's fused kernels: [batch, heads, length, width], fewer key heads allowed."""

from __future__ import annotations

from math import prod
from typing import Any

from flopsight.counted import Flops
from flopsight.opcost.pairs import window_pairs
from flopsight.torch.call import Call
from flopsight.torch.formulas.attention.core import Core
from flopsight.torch.formulas.attention.masks import UNREAD, mask_pairs
from flopsight.torch.registry import Assumed, formula

BOTTOM_RIGHT = frozenset({"aten::_scaled_dot_product_flash_attention"})
"""Kernels whose causal flag lets the last query see the last key; the others start both at the top left."""


def dense(call: Call) -> tuple[Core, str]:
    """The work of a call, and what had to be assumed."""
    query, key, value = call["query"], call["key"], call["value"]
    *outer, queries, width = (int(size) for size in query.shape)
    shape = (*outer, queries, int(key.shape[-2]))
    right = _right(call, queries, shape[-1])
    mask = call.first("attn_mask", "attn_bias")
    allowed, run, note = area(shape, mask, right)
    return Core(width, int(value.shape[-1]), allowed, run, prod(shape)), note


def area(shape: tuple[int, ...], mask: Any, right: int | None) -> tuple[int, int, str]:
    """Pairs allowed and run of scores [.., queries, keys], and what had to be assumed."""
    run = (
        prod(shape[:-2]) * window_pairs(shape[-2], shape[-1], right=0, shift=right)
        if right is not None
        else prod(shape)
    )
    if mask is None:
        return run, run, ""
    allowed = mask_pairs(mask, shape, right)
    return (run, run, UNREAD) if allowed is None else (allowed, run, "")


def _right(call: Call, queries: int, keys: int) -> int | None:
    if not call["is_causal"]:
        return None
    return keys - queries if call.op._schema.name.removesuffix("_backward") in BOTTOM_RIGHT else 0


@formula(
    "aten::_scaled_dot_product_flash_attention_for_cpu", "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_efficient_attention", "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_fused_attention_overrideable", "aten::_scaled_dot_product_attention_math_for_mps",
)  # fmt: skip
def attention(call: Call) -> Flops | Assumed:
    """Forward."""
    core, note = dense(call)
    return Assumed.if_any(core.forward(), note)


@formula(
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    "aten::_scaled_dot_product_flash_attention_backward", "aten::_scaled_dot_product_efficient_attention_backward",
    "aten::_scaled_dot_product_cudnn_attention_backward",
    "aten::_scaled_dot_product_fused_attention_overrideable_backward",
)  # fmt: skip
def attention_backward(call: Call) -> Flops | Assumed:
    """Backward, of the gradients that are asked for where the op says so."""
    core, note = dense(call)
    wanted = call.first("grad_input_mask") or (True, True, True, False)
    return Assumed.if_any(core.backward(*wanted), note)
