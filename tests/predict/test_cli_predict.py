"""`flopsight predict`: answers in every phase, never above what physics allows, and one sentence for bad input."""

import json

import jsonschema
import pytest

import flopsight
from flopsight import api
from flopsight.cli.main import run
from flopsight.errors import Impossible, UsageError
from flopsight.hardware.catalog import node
from flopsight.models.ledger import ledger
from flopsight.models.load import load
from flopsight.workload import Workload

CASES = {
    "decode": {"batch": 32, "isl": 1536, "weights": "fp8"},
    "prefill": {"batch": 2, "isl": 1024},
    "serve": {"concurrency": 64, "isl": 1024, "osl": 1024, "weights": "fp8"},
    "train": {"seq": 4096, "tp": 8, "recompute": "full", "zero": 3},
}


@pytest.fixture(scope="module", params=list(CASES))
def answer(request):
    model = "llama-3.1-8b" if request.param == "train" else "llama-3.1-70b"
    return api.predict(model, on="8xH100-SXM", phase=request.param, **CASES[request.param])


# ---------------------------------------------------------------- every phase


def test_causes_add_up(answer):
    assert sum(answer.causes.values()) == pytest.approx(answer.seconds.value, rel=1e-6)
    assert answer.binds == max(answer.causes, key=answer.causes.get)


def test_causes_of_a_served_encoder_add_up():
    found = api.predict("t5-base", on="h100-sxm", phase="serve", concurrency=8)
    assert sum(found.causes.values()) == pytest.approx(found.seconds.value)


def test_shares_of_parts_add_up(answer):
    assert sum(p.share for p in answer.parts) == pytest.approx(1)


def test_nothing_passes_a_peak(answer):
    shares = [answer.mfu, answer.hfu, *([answer.mbu] if answer.mbu else [])]
    assert all(0 < s.ratio <= 1 for s in shares)
    assert all(p.mfu is None or 0 <= p.mfu <= 1 for p in answer.parts)
    assert answer.mfu.ratio <= answer.hfu.ratio * 1.0001


def test_interval_holds_its_middle(answer):
    for span in (answer.seconds, answer.ttft, answer.tpot, answer.whole):
        assert span is None or 0 < span.low < span.value < span.high


def test_json_follows_its_schema(answer):
    body = json.loads(answer.to_json())
    jsonschema.validate(body, api.schema("predict"))
    assert (body["schema_version"], body["command"]) == (1, "predict")


def test_text_answers_first(answer):
    text = answer.to_text()
    first = " ".join(text.split("\n\n")[0].split())
    assert first.startswith(" ".join(answer.headline().split()))
    for said in ("MFU", "HFU", "90 %", "whole", "Left out: ", "Next: flopsight "):
        assert said in text
    assert repr(answer) == answer.headline()


# ---------------------------------------------------------------- against arithmetic outside of the predictor


def test_decode_is_slower_than_its_bytes():
    found = api.predict("llama-3.1-70b", on="8xH100-SXM", batch=8, isl=32768, weights="fp8")
    # 70.6 billion parameters, of which the 1.05 billion of the input embedding are not read and the head's 1.05 are
    # stored in 16 bits; a cache of 80 layers x 2 x 8 x 128 values
    floor = (68.5e9 + 2 * 1.05e9 + 8 * 32768 * 2 * 80 * 2 * 8 * 128) / (8 * 3.35e12)
    assert found.seconds.value > floor
    assert found.mbu.ratio == pytest.approx(floor / found.seconds.value, rel=0.01)


def test_mfu_is_required_flops_over_peak():
    found = api.predict("llama-3.1-8b", on="4xH100-SXM", phase="prefill", batch=4, isl=2048)
    required = ledger(load("llama-3.1-8b")).total(Workload("prefill", 4, 2048)).required
    peak = node("4xH100-SXM").peak("bf16").value
    assert found.mfu.ratio == pytest.approx(required / found.seconds.value / peak)
    assert found.tokens_per_s == pytest.approx(4 * 2048 / found.seconds.value)


def test_training_agrees_with_the_command_that_reads_throughput():
    found = api.predict("llama-3.1-8b", on="8xH100-SXM", phase="train", seq=8192, tp=1, zero=3, recompute="full")
    said = api.mfu("llama-3.1-8b", tokens_per_s=found.tokens_per_s, on="8xH100-SXM", seq=8192, recompute="full")
    assert found.mfu.ratio == pytest.approx(said.mfu.ratio, rel=1e-6)
    assert found.hfu.ratio == pytest.approx(said.hfu.ratio, rel=1e-6)


def test_memory_breaks_where_it_says():
    found = api.predict("llama-3.1-8b", on="h100-sxm", batch=1, isl=8192).memory
    assert found.limit_of == "batch"
    api.predict("llama-3.1-8b", on="h100-sxm", batch=found.limit, isl=8192)
    with pytest.raises(Impossible, match=f"largest that fits is --batch {found.limit}"):
        api.predict("llama-3.1-8b", on="h100-sxm", batch=found.limit + 1, isl=8192)
    # 128 KiB a token for 8,193 tokens each
    used = found.uses["weights"] + found.uses["activations"] + found.limit * 8193 * 131072
    assert used <= found.room * 1.001
    assert used > found.room - 2 * 8193 * 131072


def test_more_of_everything_takes_longer():
    seconds = [api.predict("llama-3.1-8b", on="h100-sxm", batch=b, isl=2048).seconds.value for b in (1, 8, 64, 128)]
    assert seconds == sorted(seconds)
    seconds = [
        api.predict("llama-3.1-8b", on="h100-sxm", phase="prefill", isl=n).seconds.value for n in (256, 1024, 4096)
    ]
    assert seconds == sorted(seconds)


def test_experts_count_only_where_visited():
    one, many = (api.predict("mixtral-8x7b", on="8xH100-SXM", batch=b, isl=512) for b in (1, 64))
    read = [sum(p.weight_bytes for p in found.parts) for found in (one, many)]
    assert read[0] < 0.35 * read[1]
    assert read[1] * 8 == pytest.approx(2 * 46.7e9, rel=0.02)


def test_a_sample_that_fixes_its_length_is_counted_so():
    found = api.predict("vit-base-patch16-224", on="h100-sxm", phase="train", micro_batch=32)
    assert found.tokens == 32 * 197
    found = api.predict("dit-xl-2-256", on="h100-sxm", phase="prefill", batch=4)
    assert (found.tokens, found.ttft, found.software) == (4 * 256, None, "none")


# ---------------------------------------------------------------- choices


def test_layouts_that_nobody_gave_are_said():
    assert api.predict("llama-3.1-70b", on="8xH100-SXM").layout == "tp8"
    # 14 heads: seven of eight devices cannot share them
    assert api.predict("qwen2.5-0.5b", on="8xH100-SXM").layout == "tp2 dp4"
    deep = api.predict("llama-3.1-405b", on="16xH100-SXM")
    assert deep.layout == "tp8 pp2"
    assert deep.chosen == ["layout tp8 pp2"]
    train = api.predict("llama-3.1-8b", on="64xH100-SXM", phase="train", seq=4096)
    assert "dp64" in train.layout
    assert any("layout" in told for told in train.chosen)


def test_parts_can_be_gathered():
    whole = api.predict("llama-3.1-8b", on="h100-sxm", isl=1024)
    short = api.predict("llama-3.1-8b", on="h100-sxm", isl=1024, depth=3)
    assert len(short.parts) < len(whole.parts)
    assert sum(p.seconds for p in short.parts) == pytest.approx(sum(p.seconds for p in whole.parts))


def test_cost_follows_from_the_price():
    found = api.predict("llama-3.1-8b", on="8xH100-SXM", batch=64, price=2.0)
    assert found.money.dollars_per_million_tokens.value == pytest.approx(16 / 3600 * 1e6 / found.tokens_per_s)
    assert found.money.watts_limit == 5600
    open_ = api.predict("llama-3.1-8b", on="8xH100-SXM", batch=64).money.dollars_per_million_tokens
    assert open_ is None or open_.low <= open_.value <= open_.high


def test_energy_lies_between_idle_and_the_limit():
    found = api.predict("llama-3.1-8b", on="8xH100-SXM", batch=64)
    band, most = found.money.joules_per_million_tokens, 5600 * 1e6 / found.tokens_per_s
    assert 0.05 * most < band.low <= band.value <= band.high <= most * 1.0001
    assert "unknown" in api.predict("llama-3.1-8b", on="tpu-v7x").to_text()  # no power limit is published


def test_the_package_is_the_verb():
    assert flopsight.predict("llama-3.1-8b", on="h100-sxm").phase == "decode"


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("llama-3.1-8b --on h100-sxm --batch 0", 2, "--batch is a whole number of at least 1"),
        ("llama-3.1-8b --on h100-sxm --isl -1", 2, "--isl is a whole number of at least 1"),
        ("llama-3.1-8b --on 8xh100-sxm --tp 3", 2, "tp 3 does not divide the 8 devices"),
        ("llama-3.1-8b --on 8xh100-sxm --tp 2 --dp 2", 2, "tp 2 x dp 2 = 4 is not the 8 devices"),
        ("llama-3.1-8b --on 64xh100-sxm --tp 64", 2, "tp 64 does not divide the 32 attention heads"),
        ("llama-3.1-8b --on 8xh100-sxm --tp -2", 2, "--tp is a whole number of at least 1"),
        ("llama-3.1-8b --on a100-80gb --dtype fp8", 2, "has no fp8 rate"),
        ("llama-3.1-8b --on h100-sxm --weights fp7", 2, "number format"),
        ("llama-3.1-8b --on h100-sxm --engine vlm", 2, "Did you mean vllm"),
        ("llama-3.1-8b --on h100-sxm --phase train --framework torchtitn", 2, "Did you mean torchtitan"),
        ("llama-3.1-8b --on h100-sxm --recompute full", 2, "belong to training"),
        ("llama-3.1-8b --on h100-sxm --depth -1", 2, "zero or more"),
        ("llama-3.1-8b --on wse-3", 2, "compute rate is not published"),
        ("bert-base --on h100-sxm", 2, "no decode phase"),
        ("deepseek-v3 --on 8xh200 --ep 3", 2, "ep 3"),
        ("llama-3.1-8b --on 8xh100-sxm --phase train --global-batch 7 --micro-batch 2 --tp 8", 2, "nearest"),
        ("llama-3.1-405b --on 8xh100-sxm", 3, "It fits with --weights fp8"),
        ("dense:1T --on 8xh100-sxm", 3, "It fits with --weights int4"),
        ("dense:10T --on 256xh100-sxm", 3, "It fits with --weights fp8 --tp 8 --pp 32"),
        ("dense:1T --on h100-sxm --weights int4", 3, "devices, sharing all weights, would"),
        ("llama-3.1-8b --on h100-sxm --batch 5000 --isl 8192", 3, "largest that fits is --batch"),
        ("llama-3.1-405b --on 8xh100-sxm --phase train", 3, "devices it fits with --zero 3 --recompute full"),
        ("llama-3.1-8b --on 8xh100-sxm --phase train --tp 1 --zero 0 --seq 4096", 3, "It fits with --zero"),
    ],
)
def test_bad_input_is_one_sentence(capsys, line, code, said):
    assert run(["predict", *line.split()]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_what_is_said_to_fit_fits():
    api.predict("llama-3.1-405b", on="8xH100-SXM", weights="fp8")
    api.predict("dense:1T", on="8xH100-SXM", weights="int4")
    api.predict("dense:10T", on="256xH100-SXM", weights="fp8", tp=8, pp=32)
    api.predict("llama-3.1-405b", on="256xH100-SXM", phase="train", tp=1, zero=3, recompute="full", seq=4096)


def test_unknown_phase():
    with pytest.raises(UsageError, match="phase"):
        api.predict("llama-3.1-8b", on="h100-sxm", phase="generate")


def test_the_command_prints_json(capsys):
    assert run(["predict", "llama-3.1-8b", "--on", "h100-sxm", "--json", "--depth", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["layout"] == "one device"
