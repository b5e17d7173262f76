"""A clean configuration folder, so that the tests see the catalogue and nothing of the person running them."""

import pytest

from flopsight.hardware import catalog


@pytest.fixture(autouse=True)
def no_user_chips(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOPSIGHT_HOME", str(tmp_path / "home"))
    catalog._ours_and_plugins.cache_clear()
    yield tmp_path / "home" / "hardware"
    catalog._ours_and_plugins.cache_clear()
