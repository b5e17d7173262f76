"""Tests see no chips and calibrations of whoever runs them."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def _nobodys_home(tmp_path_factory):
    before = os.environ.get("FLOPSIGHT_HOME")
    os.environ["FLOPSIGHT_HOME"] = str(tmp_path_factory.mktemp("nobody"))
    yield
    os.environ.pop("FLOPSIGHT_HOME")
    if before is not None:
        os.environ["FLOPSIGHT_HOME"] = before
