"""Training rows read as runs: layouts in the words of each source, and what is chosen where a row is silent."""

import json

import pytest

from flopsight.facts import Unknown
from flopsight.validate.predicted.train import predict
from flopsight.validate.predicted.training_run import run_of
from flopsight.validate.rows import read_file

MODEL = {
    "name": "small", "layers": 32, "d_model": 4096, "heads": 32, "kv_heads": 8, "head_dim": 128, "d_ff": 14336,
    "vocab": 32000, "mlp": "swiglu",
}  # fmt: skip
H100 = {"key": "H100", "catalogue_id": "nvidia-h100-sxm5-80gb", "count": 64, "vendor_peak_tflops": {"bf16": 989.4},
        "peak_tflops_used": 989.4, "peak_dtype_used": "bf16"}  # fmt: skip


@pytest.fixture
def row(tmp_path):
    def made(**changes):
        base = {
            "id": "row-1", "group": "megatron-bridge/26.04/pretrain", "kind": "train_mfu", "model": MODEL,
            "hardware": H100,
            "parallelism": {"tp": 2, "pp": 4, "cp": 1, "vp": 4}, "dtype": "BF16", "convention": "Megatron-Bridge",
            "workload": {"seq_len": 8192, "global_batch": 128, "micro_batch": 1},
            "measured": {"tokens_per_s_per_gpu": 9000}, "quality": "A", "source": {},
        }  # fmt: skip
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps(base | changes) + "\n")
        return next(iter(read_file(path)))

    return made


def test_a_printed_layout_is_kept(row):
    run = run_of(row())
    assert (run.plan.tp, run.plan.pp, run.plan.vp, run.plan.dp, run.plan.zero) == (2, 4, 4, 8, 1)
    assert run.plan.schedule == "interleaved"
    assert run.plan.sequence_parallel
    assert run.batch.global_batch == 128
    assert run.soft == "megatron"


@pytest.mark.parametrize(
    ("group", "layout", "wanted"),
    [
        ("llmfoundry/H100", {"fsdp": "FULL_SHARD", "dp": 64}, (1, 64, 3, 1)),
        ("llmfoundry/H100", {"fsdp": "SHARD_GRAD_OP", "dp": 64}, (1, 64, 2, 1)),
        ("torchtitan-202412", {"fsdp": 8, "tp": 8}, (8, 8, 3, 1)),
        ("maxtext-a3", {"fsdp": 8, "dp": 8}, (1, 64, 3, 8)),
        ("megatron-sc21-table2", {"scheme": "ZeRO-3", "model_parallel": 1, "dp": 64}, (1, 64, 3, 1)),
        ("megatron-jan2021-a100", {"model_parallel_total": 32}, (8, 2, 0, 1)),
        ("colossalai-b200", {"note": "zero1(dp2)+tp2+pp4"}, (2, 8, 1, 1)),
    ],
)
def test_words_of_the_sources(row, group, layout, wanted):
    run = run_of(row(group=group, parallelism=layout))
    assert (run.plan.tp, run.plan.dp, run.plan.zero, run.plan.hsdp) == wanted
    assert run.plan.devices == 64


def test_what_is_silent_is_chosen_and_said(row):
    run = run_of(row(parallelism={}))
    assert run.plan.devices == 64
    assert any("prints no layout" in note for note in run.chosen)
    assert run.doubt > 0.1


def test_a_figure_is_a_step_time_with_a_band(row):
    found = predict(row())
    assert found.quantity == "step_time_s"
    assert found.published == pytest.approx(128 * 8192 / 9000 / 64)
    assert found.low < found.ours < found.high


def test_utilization_alone_gives_the_same_step(row):
    """MFU 50 % of 989.4 under 6 a matmul parameter and half the square of attention."""
    found = predict(row(measured={"mfu_pct": 50}, convention="Megatron-Bridge"))
    rate = predict(row())
    assert found.ours == rate.ours
    assert found.published == pytest.approx(128 * 8192 * 4.6e10 / (0.5 * 989.4e12 * 64), rel=0.1)


def test_a_row_without_a_shape_says_why(row):
    assert isinstance(run_of(row(model={"name": "mystery"})), Unknown)
    assert predict(row(model={"name": "mystery"})).why
