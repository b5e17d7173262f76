"""Flash attention by its own ops: [batch, length, heads, width], or packed [tokens, heads, width] with lengths.

A causal flag or a window is aligned at the bottom right: the last query meets the last key. The ops of torch, of
flash-attn 2 and 3 and of xformers differ in the names of their arguments only. Those outside torch were tested with
stand-ins of the published schemas, not with the libraries.
"""

from __future__ import annotations

from flopsight.counted import Flops
from flopsight.opcost.pairs import window_pairs
from flopsight.torch.call import Call
from flopsight.torch.formulas.attention.core import Core
from flopsight.torch.formulas.attention.lengths import packed_lengths, used_lengths
from flopsight.torch.registry import Uncountable, formula

Lengths = tuple[int, ...]


def flash(call: Call) -> Core | Uncountable:
    """The work of a call."""
    query, value = call.first("query", "q"), call.first("value", "v")
    queries, keys = query_lengths(call), key_lengths(call)
    if isinstance(queries, Uncountable):
        return queries
    if isinstance(keys, Uncountable):
        return keys
    if call.first("attention_chunk"):
        return Uncountable("attention in chunks has no formula")
    left, right = window(call)
    heads, e, v = int(query.shape[-2]), int(query.shape[-1]), int(value.shape[-1])
    both = list(zip(queries, keys, strict=True))
    allowed = heads * sum(window_pairs(q, k, left, right, k - q) for q, k in both)
    second = v if call.first("qv") is not None else 0  # absorbed latent attention: scores from a second pair of widths
    return Core(e + second, v, allowed, allowed, heads * sum(q * k for q, k in both))


def window(call: Call) -> tuple[int | None, int | None]:
    """Keys left and right of a query's own; None for no limit."""
    pair = call.first("window_size", "window")
    if isinstance(pair, (list, tuple)):
        left, right = pair
    else:
        left, right = call.first("window_size_left", "window_left"), call.first("window_size_right", "window_right")
    return left, 0 if call.first("is_causal", "causal") else right


def query_lengths(call: Call) -> Lengths | Uncountable:
    """Queries of every sequence."""
    query = call.first("query", "q")
    used = call.first("seqused_q", "sequed_q")
    if used is not None:
        return used_lengths(used)
    edges = call.first("cum_seq_q", "cu_seq_q", "cu_seqlens_q", "cu_seqlens")
    if edges is None:
        return (int(query.shape[1]),) * int(query.shape[0])
    return packed_lengths(edges, int(query.shape[0]), call.first("max_q", "max_seqlen_q"))


def key_lengths(call: Call) -> Lengths | Uncountable:
    """Keys of every sequence: in the cache, less what pads its left, and those that the call itself appends."""
    held = _held(call)
    if isinstance(held, Uncountable):
        return held
    padded, new = call.first("leftpad_k"), call.first("k_new")
    if padded is not None:
        pads = used_lengths(padded)
        if isinstance(pads, Uncountable):
            return pads
        held = tuple(n - pad for n, pad in zip(held, pads, strict=True))
    if new is None:
        return held
    return tuple(n + more for n, more in zip(held, _appended(call, len(held)), strict=True))


def _held(call: Call) -> Lengths | Uncountable:
    key = call.first("key", "k")
    used = call.first("seqused_k", "sequed_k")
    if used is not None:
        return used_lengths(used)
    edges = call.first("cum_seq_k", "cu_seq_k", "cu_seqlens_k")
    if edges is None:
        return (int(key.shape[1]),) * int(key.shape[0])
    return packed_lengths(edges, int(key.shape[0]), call.first("max_k", "max_seqlen_k"))


def _appended(call: Call, count: int) -> Lengths:
    new, edges = call["k_new"], call.first("cu_seqlens_k_new")
    if edges is None:
        return (int(new.shape[1]),) * count
    found = packed_lengths(edges, int(new.shape[0]), None)
    return (0,) * count if isinstance(found, Uncountable) else found


@formula(
    "aten::_flash_attention_forward", "aten::_flash_attention_forward_no_dropout_inplace",
    "aten::_cudnn_attention_forward",
    "torch_attn::_varlen_attn", "torch_attn::_varlen_attn_out",
    "flash_attn::_flash_attn_forward", "flash_attn::_flash_attn_varlen_forward",
    "flash_attn_3::_flash_attn_forward", "flash_attn_3::fwd", "_diffusers_flash_attn_3::_flash_attn_forward",
    "xformers_flash::flash_fwd",
)  # fmt: skip
def flash_forward(call: Call) -> Flops | Uncountable:
    """Forward."""
    core = flash(call)
    return core if isinstance(core, Uncountable) else core.forward()


@formula(
    "aten::_flash_attention_backward", "aten::_cudnn_attention_backward", "torch_attn::_varlen_attn_backward",
    "flash_attn::_flash_attn_backward", "flash_attn::_flash_attn_varlen_backward",
    "flash_attn_3::_flash_attn_backward", "flash_attn_3::bwd", "_diffusers_flash_attn_3::_flash_attn_backward",
    "xformers_flash::flash_bwd",
)  # fmt: skip
def flash_backward(call: Call) -> Flops | Uncountable:
    """Backward."""
    core = flash(call)
    return core if isinstance(core, Uncountable) else core.backward()
