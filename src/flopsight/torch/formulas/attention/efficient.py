"""Memory-efficient attention by its own ops: [batch, length, heads, width], an added bias, lengths, a causal type.

A batch of one with cumulative lengths is packed. Of the causal types 1 starts at the top left, 2 ends at the bottom
right; a window of w lets a query see itself and the w - 1 keys before. xformers' op has the same arguments; it was
tested with a stand-in of its published schema.
"""

from __future__ import annotations

from math import prod
from typing import Any, Final

from flopsight.counted import Flops
from flopsight.opcost.pairs import window_pairs
from flopsight.torch.call import Call
from flopsight.torch.formulas.attention.core import Core
from flopsight.torch.formulas.attention.lengths import packed_lengths, used_lengths
from flopsight.torch.formulas.attention.masks import UNREAD, mask_pairs
from flopsight.torch.registry import Assumed, Uncountable, formula

TOP_LEFT: Final = 1
BOTTOM_RIGHT: Final = 2


def efficient(call: Call) -> tuple[Core, str] | Uncountable:
    """The work of a call, and what had to be assumed."""
    query, value = call["query"], call["value"]
    queries, keys = _lengths(call)
    if isinstance(queries, Uncountable):
        return queries
    if isinstance(keys, Uncountable):
        return keys
    outer = prod(int(size) for size in query.shape[2:-1])  # heads, or groups and heads
    both = list(zip(queries, keys, strict=True))
    run = outer * sum(_pairs(call, q, k) for q, k in both)
    allowed, note = _masked(call, run)
    square = outer * sum(q * k for q, k in both)
    return Core(int(query.shape[-1]), int(value.shape[-1]), allowed, run, square), note


def _pairs(call: Call, queries: int, keys: int) -> int:
    kind, width = int(call["custom_mask_type"]), call.first("window_size")
    shift = keys - queries if kind == BOTTOM_RIGHT else 0
    left = width - 1 if width else None
    return window_pairs(queries, keys, left, 0 if kind else None, shift)


def _masked(call: Call, run: int) -> tuple[int, str]:
    bias = call.first("bias", "attn_bias")
    if bias is None:
        return run, ""
    if call.first(*_EDGES_Q) is not None or call.first("window_size"):
        return run, "a bias over packed sequences or a window was not read: all that the flag allows was required"
    query, key = call["query"], call["key"]
    outer = (int(query.shape[0]), *(int(size) for size in query.shape[2:-1]))
    queries, keys = int(query.shape[1]), int(key.shape[1])
    kind = int(call["custom_mask_type"])
    right = None if not kind else keys - queries if kind == BOTTOM_RIGHT else 0
    allowed = mask_pairs(bias, (*outer, queries, keys), right)
    return (run, UNREAD) if allowed is None else (allowed, "")


_EDGES_Q: Final = ("cu_seqlens_q", "seqstart_q")
_EDGES_K: Final = ("cu_seqlens_k", "seqstart_k")


def _lengths(call: Call) -> tuple[Any, Any]:
    """Queries and keys of every sequence."""
    query, key = call["query"], call["key"]
    first, second, used = call.first(*_EDGES_Q), call.first(*_EDGES_K), call.first("seqlen_k")
    batch = int(query.shape[0])
    queries: Any = (int(query.shape[1]),) * batch
    keys: Any = (int(key.shape[1]),) * batch
    if first is not None:
        queries = packed_lengths(first, int(query.shape[1]), call.first("max_seqlen_q"))
        keys = packed_lengths(second, int(key.shape[1]), call.first("max_seqlen_k"))
    return queries, keys if used is None else used_lengths(used)


@formula("aten::_efficient_attention_forward", "xformers::efficient_attention_forward_cutlass")
def efficient_forward(call: Call) -> Flops | Assumed | Uncountable:
    """Forward."""
    found = efficient(call)
    return found if isinstance(found, Uncountable) else Assumed.if_any(found[0].forward(), found[1])


@formula("aten::_efficient_attention_backward", "xformers::efficient_attention_backward_cutlass")
def efficient_backward(call: Call) -> Flops | Assumed | Uncountable:
    """Backward."""
    found = efficient(call)
    return found if isinstance(found, Uncountable) else Assumed.if_any(found[0].backward(), found[1])
