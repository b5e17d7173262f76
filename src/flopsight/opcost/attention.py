"""Fused attention: scores 2·pairs·e and mix 2·pairs·v over the query-key pairs that a flag, window or length allows.

Backward: required and whole squares twice the forward, executed 2.5 times for e = v (the scores are computed again).
Source: Dao 2023, arXiv 2307.08691. A mask tensor's values are not recorded: the whole square counts then, said so.
The lengths of packed sequences are values too: at most as many as fit under the longest are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from flopsight.counted import Flops
from flopsight.opcost.call import Call, Tensor, Unclear, dense, total
from flopsight.opcost.pairs import window_pairs
from flopsight.opcost.value import OpCost

MASKED: Final = "a mask tensor was given, whose values are not recorded: all that its flag allows is counted"
UNSAID: Final = "whether it is causal is not recorded: the whole square is counted"
OPEN: Final = "whether it has a window is not recorded: none is taken"
RAGGED: Final = "lengths of the packed sequences are not recorded: the most that fits under the longest is counted"
Sizes = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Form:
    """Where a kernel's arguments stand; None where it has none.

    query    q; k and v follow
    causal   the flag
    kind     a mask type: 1 is causal from the first key, 2 to the last
    last     lengths second from the end ([batch, heads, length, width]) or third ([batch, length, heads, width])
    mask     a mask or bias
    packed   cumulative lengths of queries; those of keys follow
    longest  the longest sequence of queries; that of keys follows
    window   keys to the left of a query; to the right follows
    both     a window as one list, which may not be recorded
    span     a window as one number: a query's own key and those before
    chunk    a length of chunks that attention stays in: no formula with one
    paged    tensors that say that keys are elsewhere, or fewer: no formula with them
    asked    which gradients are wanted: of q, k, v and a bias
    right    whether the causal triangle ends at the last key
    """

    query: int = 0
    causal: int | None = None
    kind: int | None = None
    last: bool = True
    mask: int | None = None
    packed: int | None = None
    longest: int | None = None
    window: int | None = None
    both: int | None = None
    span: int | None = None
    chunk: int | None = None
    paged: tuple[int, ...] = ()
    asked: int | None = None
    right: bool = False
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Dims:
    """Sizes of one call: `outer` is batch times heads of queries, or heads of packed sequences."""

    outer: int
    queries: int
    keys: int
    width: int
    wide: int
    packed: bool


@dataclass(frozen=True, slots=True)
class Area:
    """Pairs that are allowed, and of all queries and keys; what had to be assumed."""

    run: int
    square: int
    note: str


def _cost(call: Call, form: Form) -> OpCost:
    q, k, v = (call.tensor(form.query + i) for i in range(3))
    if any(call.maybe(at) is not None for at in form.paged):
        raise Unclear("how many keys are in a cache is not recorded")
    if form.chunk is not None and call.whole(form.chunk):
        raise Unclear("attention in chunks")
    dims = _dims(call, form, q, k, v)
    area = _area(call, form, dims)
    out = dense((*q.dims[:-1], dims.wide), q.dtype)
    mask = [one] if form.mask is not None and (one := call.maybe(form.mask)) is not None else []
    if form.backward:
        flops = _backward(dims, area, call.flags(form.asked) if form.asked is not None else [])
        return OpCost("attention", "matrix", q.dtype, flops, 0, total([q, k, v, out, out, *mask]),
                      total([dense(t.dims, t.dtype) for t in (q, k, v)]), None, area.note)  # fmt: skip
    each = 2 * (dims.width + dims.wide)
    flops = Flops(each * area.run, each * area.square, each * area.run)
    return OpCost("attention", "matrix", q.dtype, flops, 0, total([q, k, v, *mask]), total([out]), None, area.note)


def _backward(dims: Dims, area: Area, asked: Sequence[bool]) -> Flops:
    """dQ and dK, e wide; dV and dP, which all but dV come from, v wide."""
    query, key, value, bias = asked if len(asked) == 4 else (True, True, True, False)
    scores, mix = 2 * dims.width, 2 * dims.wide
    wanted = scores * (query + key) + mix * (value + (query or key or bias))
    return Flops(wanted * area.run, wanted * area.square, (3 * scores + 2 * mix) * area.run)


def _dims(call: Call, form: Form, q: Tensor, k: Tensor, v: Tensor) -> Dims:
    packed = form.packed is not None and call.maybe(form.packed) is not None
    x, y, z = q.dims, k.dims, v.dims
    # packed sequences are [tokens, heads, width] everywhere
    at, head = (-2, -3) if form.last and not packed else (-3, -2)
    if len(x) < 3 or len(x) > 5 or len(y) != len(x) or len(z) != len(x):
        raise Unclear("no attention of batches")
    if y[-1] != x[-1] or y[at] != z[at] or (y[head] and x[head] % y[head]):
        raise Unclear("widths, lengths or heads do not fit")
    return Dims(q.numel // max(1, x[at] * x[-1]), x[at], y[at], x[-1], z[-1], packed)


def _area(call: Call, form: Form, dims: Dims) -> Area:
    """Pairs by each sequence's lengths."""
    left, right, said = _sides(call, form)
    both, note = ([(dims.queries, dims.keys)], "") if not dims.packed else _lengths(call, form, dims)
    bottom = form.right or (form.kind is not None and call.whole(form.kind) == 2)
    run = sum(window_pairs(q, k, left, right, k - q if bottom else 0) for q, k in both)
    square = sum(q * k for q, k in both)
    if form.mask is not None and call.maybe(form.mask) is not None:
        note = note or MASKED
    if form.both is not None and not call.wholes(form.both):
        note = note or OPEN
    return Area(dims.outer * run, dims.outer * square, note or ("" if said else UNSAID))


def _sides(call: Call, form: Form) -> tuple[int | None, int | None, bool]:
    """Keys left and right of a query's own, None for no limit; and whether the record says it."""
    left = right = None
    if form.window is not None:
        left, right = call.whole(form.window), call.whole(form.window + 1)
    if form.both is not None and len(sides := call.wholes(form.both)) == 2:
        left, right = sides
    if form.span is not None and (span := call.whole(form.span)):
        left = span - 1
    flag = call.flag(form.causal) if form.causal is not None else None
    if form.kind is not None and (kind := call.whole(form.kind)) is not None:
        flag = kind in (1, 2)
    return left, 0 if flag else right, flag is not None


def _lengths(call: Call, form: Form, dims: Dims) -> tuple[list[Sizes], str]:
    """Queries and keys of packed sequences: exact where they fill the longest, else as unequal as they can be."""
    assert form.packed is not None
    count = call.tensor(form.packed).numel - 1
    at = form.longest if form.longest is not None else form.packed + 2
    longest, longest_keys = (call.whole(at + i) or total for i, total in enumerate((dims.queries, dims.keys)))
    if count < 1 or min(longest, longest_keys) < 0:
        raise Unclear("no lengths")
    queries, keys = (
        _filled(total, min(most, total), count) for total, most in ((dims.queries, longest), (dims.keys, longest_keys))
    )
    exact = dims.queries == longest * count and dims.keys == longest_keys * count
    return list(zip(queries, keys, strict=True)), "" if exact else RAGGED


MANY: Final = 100_000
"""Sequences in one call."""


def _filled(total: int, most: int, count: int) -> list[int]:
    """`total` in `count` sequences, the first of them as long as they may be."""
    if count > MANY:
        raise Unclear("too many sequences")
    whole, rest = divmod(total, most) if most else (0, 0)
    if whole + (rest > 0) > count:
        raise Unclear("more tokens than the sequences can hold")
    return ([most] * whole + ([rest] if rest else []) + [0] * count)[:count]


def _of(form: Form) -> Callable[[Call], OpCost]:
    return lambda call: _cost(call, form)


def _aiter_varlen(call: Call) -> OpCost:
    """(q, k, v, lengths of q, of k, longest of q, of k, ..); two arguments were added before the flag since."""
    older = call.flag(10) is not None and call.flag(12) is None
    at = 10 if older else 12
    return _cost(call, Form(causal=at, last=False, packed=3, window=at + 1, right=True))


_MHA: Final = Form(causal=5, last=False, window=6, right=True)
_MHA_BACKWARD: Final = Form(query=1, causal=8, last=False, window=9, right=True, backward=True)
_FLASH_3: Final = Form(
    causal=24, last=False, packed=7, longest=12, window=25, chunk=27, paged=(3, 4, 5, 10, 11, 14, 16), right=True
)  # fmt: skip
_EFFICIENT: Final = Form(kind=9, last=False, packed=4, mask=3, span=13, paged=(12,))
_EFFICIENT_BACKWARD: Final = Form(query=1, kind=14, last=False, packed=6, mask=4, span=18, backward=True)
FORMS: Final[dict[str, Form]] = {
    "aten::scaled_dot_product_attention": Form(causal=5, mask=3),
    "aten::_scaled_dot_product_attention_math": Form(causal=5, mask=3),
    "aten::_scaled_dot_product_flash_attention": Form(causal=4, right=True),
    "aten::_scaled_dot_product_flash_attention_for_cpu": Form(causal=4, mask=5),
    "aten::_scaled_dot_product_efficient_attention": Form(causal=6, mask=3),
    "aten::_scaled_dot_product_cudnn_attention": Form(causal=6, mask=3),
    "aten::_scaled_dot_product_fused_attention_overrideable": Form(causal=5, mask=3),
    "aten::_flash_attention_forward": Form(causal=8, last=False, packed=3, window=11, paged=(13, 15), right=True),
    "aten::_efficient_attention_forward": _EFFICIENT,
    "aten::_cudnn_attention_forward": Form(causal=10, mask=3, packed=4),
    "aten::_scaled_dot_product_flash_attention_backward": Form(query=1, causal=11, right=True, backward=True),
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward": Form(query=1, causal=7, mask=8, backward=True),
    "aten::_scaled_dot_product_efficient_attention_backward": Form(query=1, causal=11, mask=4, asked=10, backward=True),
    "aten::_scaled_dot_product_cudnn_attention_backward": Form(query=1, causal=14, mask=8, backward=True),
    "aten::_scaled_dot_product_fused_attention_overrideable_backward": Form(
        query=1, causal=13, mask=4, asked=5, backward=True),
    "aten::_flash_attention_backward": Form(
        query=1, causal=11, last=False, packed=6, window=15, right=True, backward=True),
    "aten::_efficient_attention_backward": _EFFICIENT_BACKWARD,
    "flash_attn::_flash_attn_forward": _MHA,
    "flash_attn::_flash_attn_backward": Form(query=1, causal=11, last=False, window=12, right=True, backward=True),
    "flash_attn::_flash_attn_varlen_forward": Form(
        causal=9, last=False, packed=3, window=10, paged=(15, 16, 17), right=True),
    "flash_attn::_flash_attn_varlen_backward": Form(
        query=1, causal=15, last=False, packed=9, window=16, right=True, backward=True),
    "flash_attn_3::_flash_attn_forward": _FLASH_3, "flash_attn_3::fwd": _FLASH_3,
    "xformers_flash::flash_fwd": Form(
        causal=10, last=False, packed=3, longest=6, window=11, paged=(5, 14), right=True),
    "xformers::efficient_attention_forward_cutlass": _EFFICIENT,
    "xformers::efficient_attention_backward_cutlass": _EFFICIENT_BACKWARD,
    "flash_attn_3::_flash_attn_backward": Form(
        query=1, causal=16, last=False, packed=6, longest=10, window=17, paged=(8, 9), right=True, backward=True),
    # the function of autograd that older releases show instead of an op
    "FlashAttnFunc": Form(causal=5, last=False, both=6, right=True),
    "aiter::mha_fwd": _MHA, "aiter::fmha_v3_fwd": _MHA, "aiter::_flash_attn_forward": _MHA,
    "aiter::mha_bwd": _MHA_BACKWARD, "aiter::fmha_v3_bwd": _MHA_BACKWARD,
}  # fmt: skip
TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    **{name: _of(form) for name, form in FORMS.items()}, "aiter::mha_varlen_fwd": _aiter_varlen,
}  # fmt: skip
