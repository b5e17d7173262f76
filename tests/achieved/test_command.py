"""flopsight trace as a user meets it: verdict, JSON, ranks, a model, a difference."""

import json

import msgspec
import pytest

import flopsight
from flopsight import api
from flopsight.cli.main import run
from flopsight.errors import UsageError
from flopsight.report.trace import TraceResult
from tests.achieved.test_reading import QWEN
from tests.readers.places import beside, kept

PREFILL = "kineto/h100_qwen1.5-0.5b_prefill.json.gz"


def test_the_verdict_of_a_prefill():
    found = flopsight.trace(kept(PREFILL))
    assert found.verdict.startswith(
        "NVIDIA H100 80GB HBM3, 1 step in 34.9 ms: 165 TFLOP/s achieved = 16.7% of 989 TFLOP/s"
    )
    assert "50% of the time is elementwise" in found.verdict
    u = found.utilization
    assert (u.mfu, u.hfu) == (pytest.approx(0.1669, abs=1e-4), pytest.approx(0.1669, abs=1e-4))
    text = found.to_text()
    assert "waves of 132 multiprocessors" in text
    assert "Coverage: FLOPs known for 100% of matrix-product time" in text


def test_json_holds_what_it_promises(capsys):
    assert run(["trace", str(kept(PREFILL)), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    device = found["device"]
    assert device["name"] == "NVIDIA H100 80GB HBM3"
    assert device["kernels"] == 1465
    for key, value in (("kernel_sum_us", 45432.7), ("busy_us", 45647.3), ("span_us", 49652.8)):
        assert device[key] == pytest.approx(value, abs=0.1)
    assert device["idle_fraction"] == pytest.approx(0.0807, abs=1e-4)
    assert (device["comm_us"], device["exposed_comm_us"]) == (0, 0)
    assert {"flops", "coverage", "utilization", "unread", "schema_version"} <= set(found)
    msgspec.convert(found, TraceResult)


def test_ranks_side_by_side():
    found = flopsight.trace(beside("kineto/v100_dlrm_8ranks.tar.gz"))
    assert [row.rank for row in found.ranks] == list(range(8))
    assert [round(row.comm_us) for row in found.ranks] == [5798, 11336, 3492, 9774, 6587, 6251, 3558, 1746]
    assert "rank 7 is the one that arrives late" in found.rank_notes[0]


def test_several_files_are_ranks_too_and_in_processes(tmp_path):
    one = beside("kineto/v100_ddp_2rank_rank1_large.json.gz")
    other = beside("kineto/mi300x_resnet_ddp_act_ckpt_rank0.json.gz")
    found = flopsight.trace(one, other, one)
    assert [t.device.name for t in found.traces] == [
        "Tesla V100-SXM2-32GB",
        "AMD Instinct MI300X",
        "Tesla V100-SXM2-32GB",
    ]


def test_a_model_beside_it():
    found = flopsight.trace(kept(PREFILL), model=QWEN)
    rows = found.traces[0].beside
    assert [r.ledger_flops == r.counted_flops for r in rows if r.ledger_flops] == [True] * 4
    assert all(0.5 < r.predicted_us / r.achieved_us < 1.5 for r in rows if r.ledger_flops)
    (ledger,) = [w for w in found.traces[0].witnesses if w.witness == "the model's ledger"]
    assert ledger.value == found.flops.by_dtype["bf16"]


def test_a_model_that_did_not_run_is_said():
    found = flopsight.trace(kept("kineto/mi210_gpu_only.json.gz"), model=QWEN)
    assert found.traces[0].beside == []
    assert "or sharded" in found.traces[0].beside_of


def test_a_graph_and_its_capture_as_two_files():
    replay = kept("kineto/mi300x_sglang_qwen3-8b_decode_graph_replay.json.gz")
    capture = beside("kineto/mi300x_sglang_qwen3-8b_decode_graph_capture_bs32.json.gz")
    alone = flopsight.trace(replay)
    assert any("pass the profile of the graph's capture" in note for note in alone.traces[0].notes)
    found = flopsight.trace(capture, replay, model="qwen3-8b")
    (one,) = found.traces
    assert found.flops.required == 484358225920
    assert {r.part.rpartition(".")[2]: r.calls for r in one.beside}["gate_proj+up_proj"] == 36


def test_an_unknown_device_has_no_utilization_until_it_is_named():
    path = kept("kineto/mi250_minitoy_rocm6.2.json.gz")
    found = flopsight.trace(path)
    assert found.utilization.mfu is None
    assert "AMD Radeon Graphics" in found.utilization.why
    named = flopsight.trace(path, on="mi250x")
    assert 0 < named.utilization.mfu < 1


def test_no_device_activity_is_not_idleness():
    found = flopsight.trace(kept("kineto/a100_no_gpu_activity.json.gz"))
    assert found.device.idle_fraction is None
    assert found.utilization.mfu is None
    assert found.verdict.startswith("No device was recorded")
    assert any("No device activity was recorded" in note for note in found.traces[0].notes)


def test_what_moved_between_two_vendors():
    found = api.trace_diff(kept("kineto/h100_bert-small.json.gz"), kept("kineto/mi300x_bert-small.json.gz"))
    assert found.a.flops == found.b.flops > 8e9
    assert found.notes[0].startswith("Different machines: 'NVIDIA H100 80GB HBM3' and 'AMD Instinct MI300X VF'")
    assert sum(row.change_us for row in found.parts) == pytest.approx(found.b.step_us - found.a.step_us)
    assert "noise is not known" in found.verdict


def test_a_trace_beside_itself_did_not_move():
    path = beside("kineto/v100_ddp_2rank_rank1_large.json.gz")
    found = api.trace_diff(path, path)
    assert "noise" in found.verdict
    assert not any(row.certain for row in found.parts)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["trace"], 2, "at least one file"),
        (["trace", "/no/such/file"], 3, "does not exist"),
        (["trace", __file__], 3, "no format that is read here"),
        (["trace", str(kept(PREFILL)), "--step", "99"], 2, "its steps are ProfilerStep#6"),
        (["trace", str(kept(PREFILL)), "--on", "h9000"], 2, "h9000"),
        (["trace", str(kept(PREFILL)), "--format", "paper"], 2, "No reader is called 'paper'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(arguments, code, said, capsys):
    assert run(arguments) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_basis_that_nobody_has():
    with pytest.raises(UsageError, match="basis"):
        flopsight.trace(kept(PREFILL), basis="hope")
