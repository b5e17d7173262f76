"""Attention by fused kernels: real calls on the CPU, formulas of GPU kernels on calls made by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import varlen  # noqa: F401 - defines torch_attn

import flopsight.torch as ft
from flopsight.counted import Flops
from flopsight.torch.registry import FORMULAS, Assumed, Uncountable
from tests.counter.attention_truth import answer, edges, flops, pairs

aten = torch.ops.aten
B, H, S, D = 2, 4, 8, 16
CAUSAL = B * H * 36
SQUARE = B * H * 64


def qkv(heads: int = H, keys: int = S, **kw: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(B, H, S, D, **kw), torch.randn(B, heads, keys, D, **kw), torch.randn(B, heads, keys, D, **kw)


def test_every_attention_op_of_torch_has_a_formula() -> None:
    names = {n.split(".")[0] for n in torch._C._dispatch_get_all_op_names() if n.startswith(("aten::", "torch_attn"))}
    attention = {n for n in names if "attention" in n or "_attn" in n}
    composite = {"aten::scaled_dot_product_attention", "aten::_scaled_dot_product_attention_math"}
    projected = {"aten::_native_multi_head_attention", "aten::_triton_multi_head_attention"}  # hold linears as well
    prototype = {"aten::_triton_scaled_dot_attention"}
    assert attention - composite - projected - prototype <= set(FORMULAS)


@pytest.mark.parametrize("heads", [4, 2, 1])
def test_real_causal_training(heads: int) -> None:
    q, k, v = qkv(heads, requires_grad=True)
    with ft.counting() as c:
        F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=heads != H).sum().backward()
    forward, backward = (c.counted.during(d).flops for d in ("forward", "backward"))
    assert forward == flops(CAUSAL, SQUARE, CAUSAL, 2 * D)
    assert (backward.required, backward.full_square) == (2 * forward.required, 2 * forward.full_square)
    assert 2 * backward.executed == 5 * forward.executed
    assert not c.uncounted
    assert not c.notes


def test_real_mask_is_required_only_where_it_allows() -> None:
    q, k, v = qkv(keys=11)
    mask = torch.rand(B, H, S, 11) > 0.6  # heads differ
    with ft.counting() as c:
        F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert c.flops == flops(int(mask.sum()), B * H * S * 11, B * H * S * 11, 2 * D)


def test_fake_mask_is_noted() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        q, k, v = qkv()
        with ft.counting() as c:
            F.scaled_dot_product_attention(q, k, v, attn_mask=torch.ones(S, S, dtype=torch.bool))
    assert c.flops == flops(SQUARE, SQUARE, SQUARE, 2 * D)
    assert any("no values" in note for note in c.notes)


def test_gradients_that_nobody_wants_are_not_required() -> None:
    q, k, v = qkv()
    rest = (None, q, q, q, q, 0.0)  # bias, out, logsumexp, seed, offset, dropout
    op = aten._scaled_dot_product_efficient_attention_backward.default
    one = 2 * D * SQUARE
    for wanted, products in [
        ((1, 1, 1, 0), 4),
        ((1, 0, 0, 0), 2),
        ((0, 0, 1, 0), 1),
        ((0, 0, 0, 1), 1),
        ((1, 1, 0, 0), 3),
    ]:
        found = answer(op, q, q, k, v, *rest, [bool(w) for w in wanted])
        assert found == Flops(products * one, products * one, 5 * one)


def test_value_width_of_its_own() -> None:
    q, k, v = torch.randn(1, 2, 4, 24), torch.randn(1, 2, 4, 24), torch.randn(1, 2, 4, 16)
    found = answer(aten._scaled_dot_product_efficient_attention.default, q, k, v, None, False, 0.0, True)
    assert found == flops(2 * 10, 2 * 16, 2 * 10, 40)
    back = answer(
        aten._scaled_dot_product_cudnn_attention_backward.default,
        v,
        q,
        k,
        v,
        v,
        q,
        q,
        q,
        None,
        None,
        None,
        4,
        4,
        0.0,
        True,
    )
    assert back == Flops(2 * 2 * 10 * 80, 2 * 2 * 16 * 80, 2 * 2 * 10 * (3 * 24 + 2 * 16))


DENSE = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))


@given(DENSE, st.booleans())
def test_alignment_of_causal_flags(sizes: tuple[int, int, int, int], square: bool) -> None:
    batch, queries, keys, heads = sizes
    q, k = torch.empty(batch, heads, queries, 4), torch.empty(batch, heads, keys, 4)
    one = batch * heads
    top = one * pairs(queries, keys, lambda i, j: j <= i)
    low = one * pairs(queries, keys, lambda i, j: j <= i + keys - queries)
    whole = one * queries * keys
    assert answer(aten._scaled_dot_product_flash_attention.default, q, k, k, 0.0, True) == flops(low, whole, low, 8)
    for op in (aten._scaled_dot_product_flash_attention_for_cpu, aten._scaled_dot_product_fused_attention_overrideable):
        assert answer(op.default, q, k, k, is_causal=True) == flops(top, whole, top, 8)


@given(DENSE, st.integers(-1, 9), st.integers(-1, 9), st.booleans())
@settings(max_examples=60)
def test_flash_windows(sizes: tuple[int, int, int, int], left: int, right: int, causal: bool) -> None:
    batch, queries, keys, heads = sizes
    q, k = torch.empty(batch, queries, 2 * heads, 4), torch.empty(batch, keys, heads, 4)

    def allowed(i: int, j: int) -> bool:
        here = i + keys - queries
        edge = 0 if causal else right
        return (left < 0 or j >= here - left) and (edge < 0 or j <= here + edge)

    truth = 2 * batch * heads * pairs(queries, keys, allowed)
    found = answer(
        aten._flash_attention_forward.default, q, k, k, None, None, queries, keys, 0.0, causal, False,
        window_size_left=left, window_size_right=right,
    )  # fmt: skip
    assert found == flops(truth, 2 * batch * heads * queries * keys, truth, 8)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), min_size=1, max_size=5), st.booleans())
@settings(max_examples=60)
def test_packed_sequences(lengths: list[tuple[int, int]], causal: bool) -> None:
    queries, keys = [q for q, _ in lengths], [k for _, k in lengths]
    q, k = torch.empty(sum(queries), 6, 8), torch.empty(sum(keys), 2, 8)
    truth = 6 * sum(pairs(m, n, lambda i, j, s=n - m: not causal or j <= i + s) for m, n in lengths)
    expected = flops(truth, 6 * sum(m * n for m, n in lengths), truth, 16)
    at = (edges(queries), edges(keys), max(queries), max(keys))
    assert answer(aten._flash_attention_forward.default, q, k, k, *at, 0.0, causal, False) == expected
    assert answer(torch.ops.torch_attn._varlen_attn.default, q, k, k, *at, causal) == expected
    back = answer(torch.ops.torch_attn._varlen_attn_backward.default, q, q, k, k, q, q, *at, causal, q)
    assert back == Flops(2 * expected.required, 2 * expected.full_square, 5 * expected.executed // 2)
    one = (q[None], k[None], k[None], None, *at, 0.0, 2 if causal else 0)
    assert answer(aten._efficient_attention_forward.default, *one) == expected


def test_cache_longer_than_what_is_in_it() -> None:
    q, k = torch.empty(3, 4, 8), torch.empty(7, 16, 2, 8)  # pages of 16
    used = torch.tensor([5, 20, 33], dtype=torch.int32)
    found = answer(
        torch.ops.torch_attn._varlen_attn.default, q, k, k, edges([1, 1, 1]), None, 1, 64, seqused_k=used,
        block_table=torch.zeros(3, 3, dtype=torch.int32),
    )  # fmt: skip
    assert found == flops(4 * 58, 4 * 58, 4 * 58, 16)


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("width", [None, 1, 3])
def test_efficient_causal_types(kind: int, width: int | None) -> None:
    q, k = torch.empty(2, 5, 3, 8), torch.empty(2, 7, 3, 8)
    shift = 2 if kind == 2 else 0
    truth = 6 * pairs(5, 7, lambda i, j: j <= i + shift and (width is None or j > i + shift - width))
    found = answer(
        aten._efficient_attention_forward.default, q, k, k, None, None, None, None, None, 0.0, kind, window_size=width
    )
    assert found == flops(truth, 6 * 35, truth, 16)


def test_efficient_bias_and_causal_flag_together() -> None:
    q = torch.empty(2, 6, 3, 8)
    bias = torch.zeros(2, 3, 6, 6).masked_fill(torch.rand(2, 3, 6, 6) > 0.5, -torch.inf)
    found = answer(aten._efficient_attention_forward.default, q, q, q, bias, None, None, None, None, 0.0, 1)
    assert found == flops(int((bias == 0).tril().sum()), 6 * 36, 6 * 21, 16)


def test_lengths_without_values() -> None:
    q, at = torch.empty(12, 2, 8, device="meta"), torch.empty(4, dtype=torch.int32, device="meta")
    op = aten._flash_attention_forward.default
    assert answer(op, q, q, q, at, at, 4, 4, 0.0, True, False) == flops(2 * 3 * 10, 2 * 3 * 16, 2 * 3 * 10, 16)
    assert isinstance(answer(op, q, q, q, at, at, 6, 6, 0.0, True, False), Uncountable)


def test_meta_masks_are_assumed_full() -> None:
    q = torch.empty(1, 2, 4, 8, device="meta")
    found = answer(aten._scaled_dot_product_cudnn_attention.default, q, q, q, q[..., :4], False)
    assert isinstance(found, Assumed)
    assert found.flops == flops(32, 32, 32, 16)


def test_a_formula_that_fails_is_said_and_does_not_stop_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(call: object) -> Flops:
        raise KeyError("attn_mask")

    monkeypatch.setitem(FORMULAS, "aten::_scaled_dot_product_flash_attention_for_cpu", broken)
    monkeypatch.setattr("flopsight.torch.plan.FORMULAS", FORMULAS)
    q, k, v = qkv()
    with ft.counting() as c:
        F.scaled_dot_product_attention(q, k, v)
    (missing,) = c.uncounted
    assert "attn_mask" in missing.why
    assert missing.calls == 1
