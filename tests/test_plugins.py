"""Strangers add chips, families and conventions without touching us; a broken one is a warning."""

from importlib.metadata import EntryPoint

import pytest

from flopsight import plugins
from flopsight.errors import FlopsightWarning, UsageError


class Point:
    """An entry point that loads to a given object."""

    def __init__(self, name, loaded):
        self.name, self._loaded, self.value = name, loaded, f"stranger:{name}"

    def load(self):
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


@pytest.fixture
def install(monkeypatch):
    """Pretend that entry points are installed, with every cache of what is known emptied around the test."""
    from flopsight.conventions import catalog as conventions
    from flopsight.models import families, load

    caches = (conventions.conventions, families.strangers, load._normalised, load._load_named)

    def clear():
        for cache in caches:
            cache.cache_clear()

    def pretend(group, *points):
        monkeypatch.setattr(plugins, "entry_points", lambda group: found.get(group, ()))
        found[group] = points
        clear()

    found = {}
    yield pretend
    monkeypatch.undo()
    clear()


def test_a_family_by_plugin(install):
    from flopsight.models.families.llama import llama
    from flopsight.models.ledger import Ledger
    from flopsight.models.load import load

    install("flopsight.models", Point("strange", llama))
    raw = {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "vocab_size": 50,
    }
    assert (
        Ledger(load(raw | {"model_type": "strange", "tie_word_embeddings": False})).params
        == Ledger(load(raw | {"model_type": "llama"})).params
    )


def test_a_family_may_not_replace_ours(install):
    from flopsight.models.load import load

    install("flopsight.models", Point("llama", lambda c: None))
    with pytest.raises(UsageError, match="'llama'"):
        load({"model_type": "unheard-of"})


def test_a_convention_by_plugin(install):
    from flopsight.conventions.catalog import convention
    from flopsight.conventions.convention import Convention

    one = Convention("mine", "mine", "0", "here", lambda view: {"linear": 0})
    install("flopsight.conventions", Point("mine", one))
    assert convention("mine") is one


def test_a_broken_plugin_is_one_named_warning(install):
    from flopsight.conventions.catalog import convention

    install("flopsight.conventions", Point("broken", ImportError("no module named gone")))
    with pytest.warns(FlopsightWarning, match="broken.*no module named gone"):
        assert convention("exact").name == "exact"


def test_the_fixture_stands_for_real_entry_points():
    """The stand-in has what the loader uses of the real class."""
    real = EntryPoint("x", "json:loads", "flopsight.models")
    assert real.load() is not None
    assert (real.name, real.value) == ("x", "json:loads")
