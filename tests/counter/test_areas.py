"""Attention written as products: required are the pairs that the mask lets through, and nothing else is lowered."""

import pytest
import torch

import flopsight.torch

B, H, S, E = 2, 3, 8, 4
FULL = 2 * B * H * S * S * E


def attend(q, k, v, mask=None, fill=None, scale=0.5):
    scores = scale * (q @ k.transpose(-1, -2))
    if mask is not None:
        scores = scores + mask
    if fill is not None:
        scores = scores.masked_fill(fill, float("-inf"))
    return torch.softmax(scores, -1) @ v


def causal(dtype=torch.float32, low=float("-inf")):
    return torch.full((1, 1, S, S), low, dtype=dtype).triu(1)


def counted(function, train=False, dtype=torch.float32):
    q, k, v = (torch.randn(B, H, S, E, dtype=dtype, requires_grad=train) for _ in range(3))
    with flopsight.torch.counting() as c:
        out = function(q, k, v)
        if train:
            out.sum().backward()
    return c.flops


ALLOWED = S * (S + 1) // 2


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("low", [float("-inf"), torch.finfo(torch.float32).min, -1e9])
def test_an_added_causal_mask(train, low):
    flops = counted(lambda q, k, v: attend(q, k, v, causal(low=low)), train)
    times = 3 if train else 1
    assert flops.full_square == flops.executed == times * 2 * FULL
    assert flops.required == times * 2 * FULL * ALLOWED // (S * S)


@pytest.mark.parametrize("train", [False, True])
def test_a_filled_mask_that_differs_by_sequence(train):
    fill = torch.zeros(B, 1, 1, S, dtype=torch.bool)
    fill[1, ..., 5:] = True  # the second sequence has five tokens
    flops = counted(lambda q, k, v: attend(q, k, v, fill=fill), train)
    assert flops.required == (3 if train else 1) * 2 * FULL * (8 + 5) // 16


def test_where_and_in_place_masks_in_half_precision():
    keep = torch.ones(S, S, dtype=torch.bool).tril()

    def by_where(q, k, v):
        scores = q @ k.transpose(-1, -2)
        return torch.softmax(torch.where(keep, scores, torch.finfo(scores.dtype).min).float(), -1).to(q.dtype) @ v

    def in_place(q, k, v):
        scores = q @ k.transpose(-1, -2)
        scores += causal(torch.bfloat16)
        return torch.nn.functional.dropout(torch.softmax(scores, -1), 0.5) @ v

    for function in (by_where, in_place):
        assert counted(function, True, torch.bfloat16).required == 3 * 2 * FULL * ALLOWED // (S * S)


def test_a_bias_is_no_mask():
    alibi = -torch.arange(S).float().flip(0).repeat(S, 1) * 100
    assert counted(lambda q, k, v: attend(q, k, v, alibi), True).required == 3 * 2 * FULL


def test_a_bias_and_a_mask_in_one_tensor():
    bias = torch.randn(1, H, S, S, requires_grad=True)
    both = bias + causal(low=torch.finfo(torch.float32).min)
    assert counted(lambda q, k, v: attend(q, k, v, both), True).required == 3 * 2 * FULL * ALLOWED // (S * S)


def test_a_mask_without_a_softmax_lowers_nothing():
    flops = counted(lambda q, k, v: (q @ k.transpose(-1, -2) + causal(low=-1e9)).tanh() @ v, True)
    assert flops.required == flops.full_square == 3 * 2 * FULL


def test_products_beside_attention_are_untouched():
    def beside(q, k, v):
        out = attend(q, k, v, causal())
        return out @ v.transpose(-1, -2)

    assert counted(beside).required == 2 * FULL * ALLOWED // (S * S) + FULL


def test_a_mask_without_values_is_said():
    q = torch.randn(B, H, S, E, device="meta")
    with flopsight.torch.counting() as c:
        attend(q, q, q, torch.empty(1, 1, S, S, device="meta"))
    assert c.flops.required == 2 * FULL
    assert any("mask" in note for note in c.notes)


def test_nothing_is_kept_alive():
    import gc
    import weakref

    q = torch.randn(B, H, S, E)
    with flopsight.torch.counting():
        out = attend(q, q, q, causal())
        alive = weakref.ref(out)
        del out
        gc.collect()
        assert alive() is None


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_requires_what_its_mask_function_allows():
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def window(b, h, q, k):
        return (q >= k) & (q - k < 100)

    length = 256
    mask = create_block_mask(window, 1, None, length, length, device="cpu", BLOCK_SIZE=64)
    q = torch.randn(1, 2, length, E)
    with flopsight.torch.counting() as c:
        flex_attention(q, q, q, block_mask=mask)
    allowed = sum(min(i + 1, 100) for i in range(length))
    assert c.flops.required == 2 * 2 * 2 * E * allowed
    assert c.flops.full_square == c.flops.executed == 2 * 2 * 2 * E * length * length
    assert not c.uncounted
