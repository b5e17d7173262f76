"""What must hold for every model and workload, whatever the formula."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopsight.cost import Cost
from flopsight.models.ledger import ledger
from flopsight.models.load import bundled, load
from flopsight.workload import Workload

# one of each kind of mixer and feed-forward block, small enough to build at once
SAMPLE = [
    "gpt2", "llama-3.2-1b", "mistral-7b-v0.1", "gemma-2-2b", "gpt-oss-20b", "llama-4-scout", "deepseek-v3", "glm-5.2",
    "mixtral-8x7b", "mamba-2.8b", "codestral-mamba-7b", "jamba-1.5-mini", "qwen3-next-80b-a3b", "minimax-text-01",
    "recurrentgemma-2b", "rwkv-4-169m", "lfm2-1.2b", "zamba2-7b", "falcon-7b", "bloom-560m", "gemma-3n-e4b",
]  # fmt: skip
DECODERS = st.sampled_from([name for name in SAMPLE if name in bundled()])
lengths = st.integers(1, 700)


def required(name, **kw):
    return ledger(load(name)).total(Workload(logits="all", **kw)).required


@given(DECODERS, lengths, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_parts_sum_to_the_whole(name, seq, batch):
    book, w = ledger(load(name)), Workload("prefill", batch, seq, logits="all")
    assert sum((row.cost for row in book.rows(w)), Cost()) == book.total(w)
    assert sum(row.params for row in book.rows(w)) == book.params


@given(DECODERS, st.integers(1, 40), st.integers(0, 9000))
@settings(max_examples=60, deadline=None)
def test_a_prefill_is_the_sum_of_its_decode_steps(name, seq, past):
    steps = sum(required(name, phase="decode", batch=1, seq=1, past=past + i) for i in range(seq))
    assert required(name, phase="prefill", batch=1, seq=seq, past=past) == steps


@given(DECODERS, lengths, lengths)
@settings(max_examples=60, deadline=None)
def test_a_chunked_prefill_is_the_whole(name, first, second):
    parts = required(name, phase="prefill", batch=1, seq=first) + required(
        name, phase="prefill", batch=1, seq=second, past=first
    )
    assert parts == required(name, phase="prefill", batch=1, seq=first + second)


@given(DECODERS, lengths, st.integers(0, 500), st.sampled_from(["train", "prefill", "decode"]))
@settings(max_examples=60, deadline=None)
def test_batch_two_is_twice_batch_one(name, seq, past, phase):
    book = ledger(load(name))
    one, two = (book.total(Workload(phase, b, seq, past, logits="all")) for b in (1, 2))
    assert two == one * 2


@given(DECODERS, lengths, st.integers(0, 500))
@settings(max_examples=60, deadline=None)
def test_required_is_never_more_than_the_square(name, seq, past):
    cost = ledger(load(name)).total(Workload("prefill", 1, seq, past, logits="all"))
    assert cost.required > 0
    # recurrent forms can cost more than the chunked one for short lengths; attention never
    if not ledger(load(name)).cache_fixed:
        assert cost.required <= cost.full


@pytest.mark.parametrize("name", ["llama-3.2-1b", "deepseek-v3", "gemma-2-2b", "codestral-mamba-7b"])
def test_a_sweep_equals_single_counts(name):
    rng = np.random.default_rng(7)
    batch, seq, past = rng.integers(1, 64, 50), rng.integers(1, 9000, 50), rng.integers(0, 9000, 50)
    book = ledger(load(name))
    swept = book.sweep(batch, seq, past, phase="prefill", logits="all")
    for i in range(50):
        one = book.total(Workload("prefill", int(batch[i]), int(seq[i]), int(past[i]), logits="all"))
        for f in fields(Cost):
            assert int(np.broadcast_to(swept[f.name], 50)[i]) == getattr(one, f.name), f.name


def test_selective_recompute_is_the_attention_core_and_full_the_layers():
    book, w = ledger(load("gpt3-175b")), Workload("train", 1, 2048, logits="all")
    none, selective, full = (book.total(w, r).executed for r in ("none", "selective", "full"))
    forward = book.total(Workload("prefill", 1, 2048, logits="all"))
    head = 2 * 2048 * 12288 * 50257
    core = sum(r.cost.executed for r in book.rows(Workload("prefill", 1, 2048)) if r.leaf.path.endswith("core"))
    assert selective - none == core
    assert full - none == forward.executed - head


def test_gpt3_is_the_350_gflop_a_token_people_quote():
    book, w = ledger(load("gpt3-175b")), Workload("prefill", 1, 2048, logits="all")
    cost = book.total(w)
    core = [r.cost for r in book.rows(w) if r.leaf.path.endswith("core")]
    weights = cost.required - sum(c.required for c in core)
    assert round(weights / 2048 / 1e9, 1) == 349.1
    assert round(cost.required / 2048 / 1e9, 1) == 354.0
    assert round(cost.full / 2048 / 1e9, 1) == 358.8
