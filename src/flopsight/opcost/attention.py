"""Fused attention: scores 2·pairs·e and mix 2·pairs·v; causal flags take the lower triangle.

Backward: required and whole squares twice the forward, executed 2.5 times for e = v (the scores are computed again).
Source: Dao 2023, arXiv 2307.08691. A mask tensor's values are not recorded: the whole square counts then, said so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Final

from flopsight.counted import Flops
from flopsight.opcost.call import Call, Tensor, Unclear, total
from flopsight.opcost.value import OpCost

MASKED: Final = "a mask tensor was given, whose values are not recorded: the whole square is counted"
UNSAID: Final = "whether it is causal is not recorded: the whole square is counted"
RAGGED: Final = "lengths of the packed sequences are not recorded: one sequence is taken"


@dataclass(frozen=True, slots=True)
class Form:
    """Where a kernel's arguments stand.

    query     place of q; k and v follow
    causal    place of the flag, or of a mask type whose 1 and 2 are causal
    last      lengths second from the end ([batch, heads, length, width]) or second ([batch, length, heads, width])
    mask      place of a mask or bias; None where there is none
    packed    place of cumulative lengths; None where there are none
    right     whether the causal triangle ends at the last key
    """

    query: int = 0
    causal: int = 4
    last: bool = True
    mask: int | None = None
    packed: int | None = None
    right: bool = False
    backward: bool = False


def _cost(call: Call, form: Form) -> OpCost:
    q, k, v = (call.tensor(form.query + i) for i in range(3))
    packed = form.packed is not None and call.maybe(form.packed) is not None
    batch, heads, queries, keys, width, wide = _sizes(q, k, v, form.last)
    causal = _causal(call, form)
    masked = form.mask is not None and call.maybe(form.mask) is not None
    square = batch * heads * queries * keys
    run = batch * heads * _triangle(queries, keys, form.right) if causal else square
    note = RAGGED if packed else MASKED if masked else UNSAID if causal is None else ""
    scores, mix = 2 * width, 2 * wide
    if form.backward:
        flops = Flops(2 * (scores + mix) * run, 2 * (scores + mix) * square, (3 * scores + 2 * mix) * run)
        moved = [q, k, v, q]
        writes = total([q, k, v])
    else:
        flops = Flops((scores + mix) * run, (scores + mix) * square, (scores + mix) * run)
        moved = [q, k, v]
        size = q.bytes
        writes = -1 if size is None or not width else size // width * wide
    return OpCost("attention", "matrix", q.dtype, flops, 0, total(moved), writes, None, note)


def _sizes(q: Tensor, k: Tensor, v: Tensor, last: bool) -> tuple[int, int, int, int, int, int]:
    if len(q.dims) == 3 and len(k.dims) == 3:  # packed: [tokens, heads, width]
        return 1, q.dims[1], q.dims[0], k.dims[0], q.dims[2], v.dims[2]
    if len(q.dims) < 4 or len(k.dims) != len(q.dims) or len(v.dims) != len(q.dims):
        raise Unclear("no attention of batches")
    at, head = (-2, -3) if last else (-3, -2)
    if k.dims[-1] != q.dims[-1] or k.dims[at] != v.dims[at]:
        raise Unclear("widths or lengths differ")
    return prod(q.dims[:-3]), q.dims[head], q.dims[at], k.dims[at], q.dims[-1], v.dims[-1]


def _causal(call: Call, form: Form) -> bool | None:
    flag = call.flag(form.causal)
    if flag is None:
        kind = call.whole(form.causal)
        return None if kind is None else kind in (1, 2)
    return flag


def _triangle(queries: int, keys: int, right: bool) -> int:
    """Pairs (i, j) with j <= i + shift; shift is keys - queries where the triangle ends at the last key, else 0."""
    shift = keys - queries if right else 0
    first, last = max(0, min(keys, shift + 1)), max(0, min(keys, shift + queries))
    rising = last - first
    if rising <= 0:
        return queries * last if last else 0
    # rows grow by one from the first that sees anything to the first that sees all
    begin = max(0, -shift)
    rows_rising = min(queries - begin, keys - max(0, shift))
    low = max(1, shift + 1)
    total_rising = rows_rising * low + rows_rising * (rows_rising - 1) // 2
    return total_rising + (queries - begin - rows_rising) * keys


def _of(**places: object) -> Callable[[Call], OpCost]:
    form = Form(**places)  # type: ignore[arg-type]
    return lambda call: _cost(call, form)


TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    "aten::scaled_dot_product_attention": _of(causal=5, mask=3),
    "aten::_scaled_dot_product_attention_math": _of(causal=5, mask=3),
    "aten::_scaled_dot_product_flash_attention": _of(causal=4, right=True),
    "aten::_scaled_dot_product_flash_attention_for_cpu": _of(causal=4, mask=5),
    "aten::_scaled_dot_product_efficient_attention": _of(causal=6, mask=3),
    "aten::_scaled_dot_product_cudnn_attention": _of(causal=6, mask=3),
    "aten::_scaled_dot_product_fused_attention_overrideable": _of(causal=5, mask=3),
    "aten::_flash_attention_forward": _of(causal=8, last=False, packed=3, right=True),
    "aten::_efficient_attention_forward": _of(causal=9, last=False, packed=4, mask=3),
    "aten::_cudnn_attention_forward": _of(causal=10, mask=3, packed=4),
    "aten::_scaled_dot_product_flash_attention_backward": _of(query=1, causal=11, right=True, backward=True),
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward": _of(query=1, causal=7, mask=8, backward=True),
    "aten::_scaled_dot_product_efficient_attention_backward": _of(query=1, causal=11, mask=4, backward=True),
    "aten::_scaled_dot_product_cudnn_attention_backward": _of(query=1, causal=14, mask=8, backward=True),
    "aten::_flash_attention_backward": _of(query=1, causal=11, last=False, packed=6, right=True, backward=True),
    "aten::_efficient_attention_backward": _of(query=1, causal=14, last=False, packed=6, mask=4, backward=True),
    "flash_attn::_flash_attn_forward": _of(causal=5, last=False, right=True),
    "flash_attn::_flash_attn_backward": _of(query=1, causal=11, last=False, right=True, backward=True),
    "flash_attn::_flash_attn_varlen_forward": _of(causal=9, last=False, packed=3, right=True),
    "flash_attn::_flash_attn_varlen_backward": _of(query=1, causal=15, last=False, packed=9, right=True, backward=True),
}  # fmt: skip
