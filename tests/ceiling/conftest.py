"""Every test has an empty home of its own."""

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOPSIGHT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
