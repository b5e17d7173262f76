"""Closed forms of windows and counts of mask tensors against pairs counted one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flopsight.opcost.pairs import causal_pairs, window_pairs
from flopsight.torch.formulas.attention.masks import mask_pairs
from tests.counter.attention_truth import pairs

lengths = st.integers(0, 9)
sides = st.one_of(st.none(), st.integers(-1, 11))


@given(lengths, lengths, sides, sides, st.integers(-12, 12))
@settings(max_examples=400)
def test_windows(queries: int, keys: int, left: int | None, right: int | None, shift: int) -> None:
    def allowed(i: int, j: int) -> bool:
        low = left is None or left < 0 or j >= i + shift - left
        return low and (right is None or right < 0 or j <= i + shift + right)

    assert window_pairs(queries, keys, left, right, shift) == pairs(queries, keys, allowed)


def test_causal_closed_form() -> None:
    assert causal_pairs(4096, 4096) == 4096 * 4097 // 2
    assert causal_pairs(3, 5) == 1 + 2 + 3
    assert causal_pairs(5, 3) == 1 + 2 + 3 + 3 + 3


@given(st.data())
@settings(max_examples=200)
def test_mask_tensors_of_any_broadcast_shape(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 4)) for _ in range(4))
    own = tuple(n if data.draw(st.booleans()) else 1 for n in shape)[data.draw(st.integers(0, 3)) :]
    seed = data.draw(st.integers(0, 1 << 16))
    kept = torch.rand(own, generator=torch.Generator().manual_seed(seed)) > 0.4
    kind = data.draw(st.sampled_from(["bool", "inf", "least", "half", "expanded"]))
    mask = {
        "bool": kept,
        "expanded": kept.expand(shape),
        "inf": torch.where(kept, torch.randn(own) * 10, -torch.inf),
        "least": torch.where(kept, torch.randn(own) * 10, torch.finfo(torch.bfloat16).min).bfloat16(),
        "half": torch.where(kept, torch.randn(own) * 10, torch.finfo(torch.float16).min).half(),
    }[kind]
    right = data.draw(st.sampled_from([None, 0, 1, -1]))
    truth = kept.expand(shape) if right is None else kept.expand(shape).tril(right)
    assert mask_pairs(mask, shape, right) == int(truth.sum())


def test_alibi_is_no_mask() -> None:
    distance = torch.arange(40_000.0)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        bias = (-0.5 * distance).to(dtype)
        assert mask_pairs(bias, (1, 8, 1, 40_000)) == 8 * 40_000


def test_alibi_under_a_causal_mask() -> None:
    bias = torch.arange(64.0).neg().expand(64, 64) + torch.full((64, 64), -torch.inf).triu(1)
    assert mask_pairs(bias, (2, 3, 64, 64)) == 6 * 64 * 65 // 2


@pytest.mark.parametrize("fill", [-1e4, -1e5, -1e9, -3e38, -torch.inf])
def test_fills_of_older_models(fill: float) -> None:
    kept = torch.ones(16, 16).tril().bool()
    assert mask_pairs((torch.randn(16, 16) * 5).masked_fill(~kept, fill), (16, 16)) == 136


def test_a_mask_is_read_once_and_again_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    import flopsight.torch.formulas.attention.masks as masks

    reads: list[int] = []
    real = masks._pairs
    monkeypatch.setattr(masks, "_pairs", lambda *a: reads.append(1) or real(*a))
    mask = torch.ones(8, 8).tril().bool()
    for _ in range(80):
        assert mask_pairs(mask[None, None], (2, 4, 8, 8)) == 8 * 36
    assert len(reads) == 1
    mask[0, 7] = True
    assert mask_pairs(mask[None, None], (2, 4, 8, 8)) == 8 * 37
    assert mask_pairs(mask[None, None], (1, 4, 8, 8)) == 4 * 37
    assert len(reads) == 3


def test_memory_given_to_another_mask_is_read_again() -> None:
    for kept in range(1, 40):
        mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
        mask.data.view(-1)[:kept] = True  # .data leaves no version behind
        assert mask_pairs(mask, (1, 1, 64, 64)) == kept
        del mask


def test_masks_are_not_kept_alive() -> None:
    import weakref

    mask = torch.ones(8, 8, dtype=torch.bool)
    mask_pairs(mask, (8, 8))
    alive = weakref.ref(mask)
    del mask
    assert alive() is None


def test_masks_in_inference_mode() -> None:
    with torch.inference_mode():
        mask = torch.ones(8, 8).tril().bool()
        assert mask_pairs(mask, (8, 8)) == 36
        mask.fill_(True)
        assert mask_pairs(mask, (8, 8)) == 64


def test_large_masks_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    import flopsight.torch.formulas.attention.masks as masks

    monkeypatch.setattr(masks, "CHUNK", 40)
    mask = torch.rand(2, 1, 13, 17) > 0.5
    assert mask_pairs(mask, (2, 3, 13, 17)) == 3 * int(mask.sum())
    assert mask_pairs(mask, (2, 3, 13, 17), 0) == 3 * int(mask.tril().sum())


def test_meta_masks_have_no_values() -> None:
    assert mask_pairs(torch.ones(4, 4, device="meta"), (4, 4)) is None
