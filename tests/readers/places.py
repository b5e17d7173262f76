"""Where the traces are that tests read: small ones in the repository, large ones beside it."""

from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "data" / "traces"
BESIDE = Path(__file__).parents[3] / "shared" / "samples"


def kept(name):
    return HERE / name


def beside(name):
    """A sample that is too large for the repository; the test skips where it is absent."""
    path = BESIDE / name
    if not path.exists():
        pytest.skip(f"the sample {name} is too large for the repository and is not beside it")
    return path
