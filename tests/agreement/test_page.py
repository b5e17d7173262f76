"""The page that shows the comparison is what the runs say."""

import importlib.util
import pathlib

import pytest

pytest.importorskip("transformers")

ROOT = pathlib.Path(__file__).parent.parent.parent
spec = importlib.util.spec_from_file_location("agree", ROOT / "tools" / "agree.py")
agree = importlib.util.module_from_spec(spec)
spec.loader.exec_module(agree)


@pytest.mark.oracle
def test_the_page_is_what_the_runs_say():
    assert agree.PAGE.read_text(encoding="utf-8") == agree.page(), "run `python tools/agree.py`"
