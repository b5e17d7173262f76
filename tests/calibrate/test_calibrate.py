"""Calibration: what is measured, what becomes of it, and what a broken file does."""

import json
import math

import pytest

from flopsight.calibrate.cases import Case, cases, gemm
from flopsight.calibrate.run import Point, corrected
from flopsight.calibrate.timing import Timed
from flopsight.errors import BadFile, MissingCapability, UsageError
from flopsight.hardware.catalog import find
from flopsight.models.ledger import ledger
from flopsight.models.load import load
from flopsight.plan import Formats, Plan
from flopsight.predict import corrections
from flopsight.predict.device import device_of
from flopsight.predict.forward import Forward
from flopsight.workload import Workload


def points(room, dtype, ratios):
    return [Point(Timed(Case(room, dtype, {"m": n}), r * 1e-3, 0.0, 5), 1e-3) for n, r in enumerate(ratios)]


def test_a_correction_is_the_geometric_mean_of_every_second_case_and_its_error_that_of_the_others():
    factors, errors = corrected(points("gemm", "bf16", [2.0, 4.0, 8.0, 4.0]))
    assert factors == {"gemm.bf16": pytest.approx(4.0)}
    assert errors == {"gemm.bf16": pytest.approx(0.0)}
    _, errors = corrected(points("norm", "bf16", [1.0, 2.0, 1.0, 2.0]))
    assert errors["vector"] == pytest.approx(0.5)


def test_too_few_points_or_failed_ones_give_no_correction():
    assert corrected(points("gemm", "bf16", [2.0, 4.0, 8.0])) == ({}, {})
    failed = [Point(Timed(Case("copy", "bf16", {"bytes": n}), None, why="no"), 1e-3) for n in range(9)]
    assert corrected(failed) == ({}, {})


def test_cases_count_what_a_kernel_must_do():
    one = gemm(3, 5, 7, "bf16")
    assert one.flops == 2 * 3 * 5 * 7
    assert one.moved == 2 * (3 * 7 + 5 * 7 + 3 * 5)
    rooms = {case.room for case in cases(("bf16", "fp8"))}
    assert rooms == {"gemm", "attention_prefill", "attention_decode", "norm", "copy", "launch", "graph"}
    prefill = next(c for c in cases(("bf16",)) if c.room == "attention_prefill")
    s = prefill.shape
    assert prefill.flops == 2 * s["heads"] * s["width"] * s["length"] * (s["length"] + 1)


def test_a_saved_correction_scales_the_kernels_it_names(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOPSIGHT_HOME", str(tmp_path))
    plain = device_of(find("h100-sxm"))
    assert corrections.own(plain) is plain
    corrections.save(plain.id, json.dumps({"corrections": {"gemm.bf16": 2.0}, "date": "2026-01-02"}).encode())
    mine = corrections.own(plain)
    assert any("2026-01-02" in note for note in mine.notes)
    book = ledger(load("llama-3.1-8b"))
    before, after = (Forward(book, d, Plan(), Formats()) for d in (plain, mine))
    for one, two in zip(before.shard.tasks, after.shard.tasks, strict=True):
        work = book.works(Workload("prefill", 1, 512))[one.stream]
        ratio = float(two.kernel.seconds(mine, work)) / float(one.kernel.seconds(plain, work))
        assert math.isclose(ratio, 2.0 if type(one.kernel).__name__ == "Dense" else 1.0)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"corrections": {"gemm.bf16": 0}}', b'{"corrections": {"gemm.bf16": true}}', b'{"x": 1}']
)
def test_a_broken_calibration_is_one_clear_error(tmp_path, monkeypatch, content):
    monkeypatch.setenv("FLOPSIGHT_HOME", str(tmp_path))
    chip = device_of(find("h100-sxm"))
    corrections.save(chip.id, content)
    with pytest.raises(BadFile, match="calibrat"):
        corrections.own(chip)


def test_a_quick_run_on_the_processor_measures_everything_it_can(tmp_path):
    pytest.importorskip("torch")
    from flopsight import api

    out = tmp_path / "points.json"
    found = api.calibrate("cpu", quick=True, out=out)
    ran = [p for p in found.points if p.seconds is not None]
    assert len(ran) >= len(found.points) - 1
    assert json.loads(out.read_text())["device"] == "cpu"
    assert "TFLOP/s" in found.headline()
    with pytest.raises(UsageError, match="saved"):
        api.calibrate("cpu", quick=True, save=True)


def test_a_device_that_is_not_there_is_one_sentence():
    pytest.importorskip("torch")
    from flopsight import api

    with pytest.raises((UsageError, MissingCapability)):
        api.calibrate("cuda:93")
