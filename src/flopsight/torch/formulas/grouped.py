"""Grouped products: many matrices of unequal size in one kernel, as the experts of a mixture are multiplied.

    rows times weights    [m, k] x [g, k, n], rows split at offs       2·rows·k·n
    weights times rows    [g, m, k] x [k, n], columns split at offs    2·m·k·columns
    weight gradients      [m, k] x [k, n], the inner side split        2·m·inner·n
    a plain batch         [g, m, k] x [g, k, n]                        2·g·m·k·n

What lies beyond the last offset is padding that no kernel multiplies. Offsets on a device are not read, which would
stop it: all rows are taken there.
"""

from __future__ import annotations

import torch

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.formulas.attention.seen import has_values, read
from flopsight.torch.registry import formula, same


@formula("aten::_grouped_mm", "aten::_scaled_grouped_mm", "aten::_scaled_grouped_mm_v2")
def grouped_product(call: Call) -> Flops:
    """Any of the four layouts."""
    left, right = call["self"], call["mat2"]
    inner = left.shape[-1] * values_a_byte(left)
    if left.dim() == 3 and right.dim() == 3:
        return same(2 * left.shape[0] * left.shape[1] * inner * right.shape[-1])
    if left.dim() == 2 and right.dim() == 2:
        return same(2 * left.shape[0] * used(call["offs"], inner) * right.shape[-1])
    if left.dim() == 2:
        return same(2 * used(call["offs"], left.shape[0]) * inner * right.shape[-1])
    return same(2 * left.shape[1] * inner * used(call["offs"], right.shape[-1]))


def used(offsets: torch.Tensor | None, whole: int) -> int:
    """The last offset, where it can be read without waiting for a device; the whole side elsewhere."""
    if offsets is None or offsets.device.type != "cpu" or not has_values(offsets) or not offsets.numel():
        return whole
    return min(whole, read((offsets,), "last offset", lambda: int(offsets[-1].item())))


def values_a_byte(tensor: torch.Tensor) -> int:
    """Two for fp4, which torch stores in pairs; else one."""
    return 2 if tensor.dtype is torch.float4_e2m1fn_x2 else 1
