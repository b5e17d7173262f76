"""Hostile configs: every value of every key replaced, dropped, or moved; typed refusals only."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.configs import HOSTILE, NAMES, count, mutated, raw_config

values = st.one_of(st.sampled_from([*HOSTILE, "gone"]), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8))
changes = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10**6), values), min_size=1, max_size=3)


@pytest.fixture(autouse=True)
def _without_the_framework(monkeypatch):
    """A model type that nobody knows is refused instead of being built by transformers."""
    monkeypatch.setattr("flopsight.models.module.from_transformers", lambda raw, name: None)


@given(st.sampled_from(NAMES), changes)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutations(name, several):
    raw = raw_config(name)
    for where, key, value in several:
        raw = mutated(raw, where, key, value)
    count(raw)


@pytest.mark.parametrize("name", NAMES)
def test_each_real_config_counts_and_ten_random_mutations_of_it_are_survived(name):
    chance = random.Random(name)
    assert count(raw_config(name))
    for _ in range(10):
        count(
            mutated(raw_config(name), chance.randrange(9), chance.randrange(10**6), chance.choice([*HOSTILE, "gone"]))
        )


@pytest.mark.parametrize(
    "value", [0, -3, float("nan"), float("inf"), "auto", None, [], {}, True, 2.5, 10**30, "x"], ids=repr
)
@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
def test_a_dimension_that_cannot_be_is_refused(key, value):
    """null takes the family's default, as the framework does; everything else is named in the refusal."""
    from flopsight.errors import BadConfig
    from flopsight.models.load import load

    raw = raw_config("llama-3.2-1b") | {key: value}
    with pytest.raises(BadConfig, match=key):
        load(raw)


@pytest.mark.parametrize("heads", [7, 33])
def test_indivisible_heads_are_refused(heads):
    from flopsight.errors import BadConfig
    from flopsight.models.load import load

    raw = raw_config("llama-2-7b") | {"num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": None}
    with pytest.raises(BadConfig, match="divisor"):
        load(raw)
