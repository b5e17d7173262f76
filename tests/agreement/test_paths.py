"""From a module's path to its place in the ledger."""

import pytest

from flopsight.models.load import bundled, load
from flopsight.models.paths import deepest, place, places, unwrapped
from flopsight.models.tree import leaves


@pytest.mark.parametrize(
    ("module", "path"),
    [
        ("", ""),
        ("model.layers.7.self_attn.q_proj", "model.layers.*.self_attn.q_proj"),
        ("model.layers.31", "model.layers.*"),
        ("model.layers.7.self_attn.rotary_fn", "model.layers.*.self_attn"),
        ("model.rotary_emb", "model"),
        ("lm_head", "lm_head"),
        ("loss", ""),
        ("module._orig_mod.model.layers.0._checkpoint_wrapped_module.mlp", "model.layers.*.mlp"),
        ("model.layers.32.mlp", "model.layers"),
    ],
)
def test_a_llama(module, path):
    assert place(load("llama-3.1-8b"), module) == path


def test_layers_that_differ_have_their_own_lines():
    model = load("deepseek-v3")
    assert place(model, "model.layers.1.mlp.up_proj") == "model.layers.0-2.mlp.up_proj"
    assert place(model, "model.layers.9.mlp.experts.act_fn") == "model.layers.3-60.mlp.experts"


@pytest.mark.parametrize("name", bundled())
def test_every_part_of_every_bundled_model_finds_its_own_line(name):
    model = load(name)
    known = places(model)
    for one in leaves(model.root):
        assert {known[prefix] for prefix in one.prefixes()} == {one.path}


def test_the_deepest_known_path():
    assert deepest("a.b.c", {"a", "a.b"}) == "a.b"
    assert deepest("x.y", {"a"}) == ""
    assert unwrapped("_orig_mod.a.module.b") == "a.b"
