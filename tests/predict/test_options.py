"""Options of `predict` beyond layout and formats: cached prompts, drafts, schedules, and a user's own calibration."""

import json

import pytest

from flopsight import api
from flopsight.errors import UsageError
from flopsight.hardware.catalog import find
from flopsight.predict import corrections
from flopsight.predict.speculative import tokens_per_step

SERVED = {"on": "8xH100-SXM", "phase": "serve", "concurrency": 16, "isl": 2000, "osl": 500}
TRAINED = {
    "on": "64xA100-SXM-80GB", "phase": "train", "tp": 8, "pp": 8, "dp": 1, "global_batch": 64, "seq": 2048,
    "recompute": "selective", "dtype": "bf16",
}  # fmt: skip


def test_cached_prompts_shorten_the_wait_and_are_not_counted_as_work():
    plain, cached = (api.predict("llama-3.1-70b", **SERVED, prefix_hit=hit) for hit in (0.0, 0.8))
    assert cached.ttft.value < 0.6 * plain.ttft.value
    assert cached.tpot.value < plain.tpot.value
    assert cached.mfu.ratio < plain.mfu.ratio


def test_drafts_that_stand_make_tokens_and_rejected_ones_are_executed_only():
    assert tokens_per_step(0.7, 3) == pytest.approx(1 + 0.7 + 0.49 + 0.343)
    plain, drafted = (
        api.predict("llama-3.1-70b", **SERVED, **more) for more in ({}, {"draft_tokens": 3, "acceptance": 0.7})
    )
    assert drafted.tpot.value < plain.tpot.value
    assert drafted.hfu.ratio > 1.05 * drafted.mfu.ratio


def test_interleaving_shrinks_the_bubble():
    plain, dealt = (api.predict("gpt3-175b", **TRAINED, vp=vp) for vp in (1, 4))
    assert dealt.seconds.value < plain.seconds.value


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"prefix_hit": 1.0}, "share"), ({"prefix_hit": -0.1}, "share"), ({"draft_tokens": 2}, "acceptance"),
        ({"acceptance": 0.5}, "draft"), ({"draft_tokens": -1, "acceptance": 0.5}, "Draft"), ({"vp": 2}, "train"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_one_sentence(more, words):
    with pytest.raises(UsageError, match=words):
        api.predict("llama-3.1-8b", **SERVED, **more)


def test_a_saved_calibration_changes_predictions_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOPSIGHT_HOME", str(tmp_path))
    before = api.predict("llama-3.1-8b", on="h100-sxm", phase="decode")
    chip = find("h100-sxm").id
    corrections.save(chip, json.dumps({"corrections": {"gemm.bf16": 2.0}, "date": "2026-02-03"}).encode())
    after = api.predict("llama-3.1-8b", on="h100-sxm", phase="decode")
    assert after.seconds.value > 1.3 * before.seconds.value
    assert any("2026-02-03" in note for note in after.notes)
