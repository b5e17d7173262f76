"""Six families with random dimensions: counted equals the ledger exactly, whatever the heads, widths and windows."""

import pytest

pytest.importorskip("transformers")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.agreement.causes import Reader
from tests.agreement.running import Case, run

FAST = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
WINDOWED = {"mistral": {}, "qwen2": {"use_sliding_window": True, "max_window_layers": 1}}


@st.composite
def dimensions(draw):
    kv, group, head = draw(st.integers(1, 3)), draw(st.integers(1, 3)), 2 * draw(st.integers(1, 9))
    layers = draw(st.integers(1, 3))
    return {
        "vocab_size": draw(st.integers(64, 99)), "hidden_size": kv * group * head, "head_dim": head,
        "num_attention_heads": kv * group, "num_key_value_heads": kv, "num_hidden_layers": layers,
        "intermediate_size": draw(st.integers(1, 60)), "tie_word_embeddings": draw(st.booleans()),
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip


@st.composite
def shapes(draw):
    phase = draw(st.sampled_from(("prompt", "step", "training")))
    more = {"prompt": {}, "step": {"cached": draw(st.integers(1, 20))}, "training": {"train": True}}[phase]
    return {"batch": draw(st.integers(1, 3)), "seq": 1 if phase == "step" else draw(st.integers(2, 24))} | more


def agrees(raw, shape, allowed=frozenset()):
    case = Case(raw, **shape)
    result = run(case)
    rules = Reader(case, result).read()
    assert result.counted.uncounted == ()
    assert set(rules) <= allowed
    for column, off in enumerate(("full", "required")):
        explained = {}
        for by in rules.values():
            for line, amounts in by.items():
                explained[line] = explained.get(line, 0) + amounts[column]
        assert result.off(off) == {line: n for line, n in explained.items() if n}


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["llama", "qwen3", "mistral", "qwen2", "gemma3_text", "mixtral"])
def test_any_dimensions(kind):
    @FAST
    @given(dimensions(), shapes(), st.integers(1, 12), st.data())
    def holds(raw, shape, window, data):
        raw = {**raw, "model_type": kind}
        if kind in ("mistral", "qwen2", "gemma3_text"):
            raw |= {"sliding_window": window, **WINDOWED.get(kind, {})}
        if kind == "mixtral":
            experts = data.draw(st.integers(1, 5))
            raw |= {"num_local_experts": experts, "num_experts_per_tok": data.draw(st.integers(1, experts))}
        agrees(raw, shape, {"window in the cache"})

    holds()
