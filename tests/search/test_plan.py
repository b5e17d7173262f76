"""`flopsight plan`: layouts against known facts, fronts and gaps by hand, commands against documented options."""

import json
import re
from math import exp, isclose

import jsonschema
import pytest

from flopsight import api
from flopsight.cli.main import run
from flopsight.errors import Impossible, UsageError
from flopsight.hardware.catalog import node
from flopsight.models.ledger import ledger
from flopsight.models.load import load
from flopsight.plan import Formats, Plan
from flopsight.predict.device import device_of
from flopsight.predict.engines.catalog import engine
from flopsight.predict.framework import framework
from flopsight.predict.kernels.collective import collective_seconds
from flopsight.predict.memory_train import memory_train
from flopsight.predict.pipeline import chunks, deal
from flopsight.predict.serve import Requests, scene, serve
from flopsight.search import serving, training
from flopsight.search.flags import megatron, sglang, trtllm, vllm
from flopsight.search.layouts import Tally, refusal, serving_layouts, shape, sizes
from flopsight.search.pareto import front, thinned
from flopsight.search.rank import gap
from flopsight.search.target import Target, chance, target

BF16 = Formats()


def asked(model, on, slo="", formats=BF16, software="vllm", isl=4000, osl=500, concurrency=None, sure=0.5):
    machine = node(on)
    return serving.Ask(
        ledger(load(model)),
        device_of(machine.chip),
        machine.count,
        engine(software),
        (formats,),
        isl,
        osl,
        target(slo, sure),
        concurrency,
    )


def best(*args, **options):
    return serving.search(asked(*args, **options), Tally())[0]


def trained(model, on, batch, seq, software="megatron", dtype="bf16"):
    machine = node(on)
    return training.TrainAsk(
        ledger(load(model)),
        device_of(machine.chip),
        machine.count,
        framework(software),
        Formats(compute=dtype),
        seq,
        batch,
    )


# ---------------------------------------------------------------- what fits


@pytest.mark.parametrize(
    ("model", "on", "weights", "fits"),
    [
        ("llama-3.1-405b", "8xH100-SXM", "", False),  # 810 GB of bf16 over 8 x 80 GB
        ("llama-3.1-405b", "8xH100-SXM", "fp8", True),
        ("deepseek-v3", "8xH100-SXM", "", False),  # 671 GB of fp8, as released; DeepSeek names 8 x H200 the least
        ("deepseek-v3", "8xH200", "", True),
        ("llama-3.1-70b", "1xH100-SXM", "", False),
        ("llama-3.1-70b", "2xH100-SXM", "fp8", True),
        ("mixtral-8x7b", "2xH100-SXM", "", True),
    ],
)
def test_known_models_fit_where_they_are_known_to(model, on, weights, fits):
    found = list(serving.fitting(asked(model, on, formats=Formats(weights=weights)), Tally()))
    assert bool(found) == fits


def test_what_does_not_fit_is_told_with_the_smallest_change():
    with pytest.raises(Impossible, match=r"--weights fp8 or 16 devices"):
        api.plan("llama-3.1-405b", on="8xH100-SXM", isl=4000, osl=500)
    with pytest.raises(Impossible, match="16 devices"):
        api.plan("deepseek-v3", on="8xH100-SXM", isl=4000, osl=500)


def test_remedies_do_fit():
    ask = asked("llama-3.1-405b", "8xH100-SXM")
    assert not list(serving.fitting(ask, Tally()))
    assert "16 devices" in serving.remedies(ask)
    assert list(serving.fitting(asked("llama-3.1-405b", "16xH100-SXM"), Tally()))


# ---------------------------------------------------------------- which is best


def test_a_small_model_serves_most_as_copies_and_fastest_shared():
    # no exchange: copies win by throughput; one user: every device reads a share of the weights
    most = best("llama-3.1-8b", "8xH100-SXM")
    assert (most.layout.copies, most.layout.plan.tp) == (8, 1)
    alone = best("llama-3.1-8b", "8xH100-SXM", concurrency=1)
    assert (alone.layout.copies, alone.layout.plan.tp) == (1, 8)


def test_a_tighter_promise_takes_more_devices_a_copy_and_gives_fewer_tokens():
    loose, tight = (best("llama-3.1-70b", "8xH100-SXM", f"tpot={t}ms") for t in (100, 25))
    assert tight.layout.plan.tp >= loose.layout.plan.tp
    assert tight.best.total < loose.best.total


def test_attention_replicas_save_latent_cache():
    # one latent vector serves all heads, so tp repeats the cache on every device; replicas do not
    found = {
        str(one.layout): one for one in serving.fitting(asked("deepseek-v3", "8xH200", software="sglang"), Tally())
    }
    shared, replicated = found["tp8 ep8 etp1"], found["dp8 ep8"]
    assert replicated.seats * 8 > 3 * shared.seats


def test_more_sureness_takes_fewer_requests():
    even, sure = (best("llama-3.1-70b", "8xH100-SXM", "tpot=40ms", sure=s) for s in (0.5, 0.9))
    assert sure.best.concurrency < even.best.concurrency
    assert sure.best.tpot * exp(1.2816 * sure.best.sigma_tpot) <= 0.04 * (1 + 1e-6)
    assert chance(0.04, sure.best.tpot, sure.best.sigma_tpot) >= 0.9 - 1e-6


def test_the_best_keeps_the_promise_to_the_last_request():
    one = best("llama-3.1-70b", "8xH100-SXM", "tpot=40ms")
    assert one.best.tpot <= 0.04
    assert one.bound == "tpot"
    # the next load tried is at most a twelfth of an octave away and breaks it
    after = min(p.concurrency for p in one.points if p.concurrency > one.best.concurrency)
    assert after / one.best.concurrency < 1.03


def test_points_are_those_of_the_predictor():
    ask = asked("llama-3.1-8b", "1xH100-SXM", concurrency=32)
    one = serving.search(ask, Tally())[0]
    told = serve(ask.book, ask.device, Plan(), Formats(), Requests(32, 4000, 500), ask.engine)
    assert one.best.tpot == pytest.approx(told.tpot, rel=1e-6)
    assert one.best.ttft == pytest.approx(told.ttft, rel=1e-6)
    assert one.best.total == pytest.approx(told.total, rel=1e-6)


def test_two_copies_double_the_rate():
    a = serving.search(asked("llama-3.1-8b", "1xH100-SXM", concurrency=16), Tally())[0]
    found = serving.search(asked("llama-3.1-8b", "2xH100-SXM", concurrency=32), Tally())
    b = next(one for one in found if one.layout.copies == 2)
    assert b.best.total == pytest.approx(2 * a.best.total)
    assert b.best.per_device == pytest.approx(a.best.per_device)


def test_stages_add_what_they_hand_on_and_share_the_cache():
    found = serving.search(asked("llama-3.1-70b", "8xH100-SXM", concurrency=8), Tally())
    plans = {str(one.layout): one for one in found}
    one, two = plans["2 x tp4"], plans["tp4 pp2"]
    # the same four devices' share of a layer, two batches in flight; the head's stage and prompts hold both up
    assert 1.0 < two.best.tpot / one.best.tpot < 1.3
    assert two.room > one.room


def test_a_batch_of_a_pipeline_by_hand():
    ask = asked("llama-3.1-70b", "8xH100-SXM", concurrency=16)
    one = next(o for o in serving.fitting(ask, Tally()) if str(o.layout) == "tp4 pp2")
    bare, alone, _ = scene(one.made, ask.requests(8), ask.engine)
    tables, load, _ = serving._scene(one, 8.0, 2.0)
    assert load.seats[0] * 2 == pytest.approx(one.seats)  # both batches share the cache of the same devices
    assert load.ranks[0] == 2 * alone.ranks[0]  # prompts of either hold up both
    batch = 8.0  # of the last column; 80 layers on two stages of 40, the head on the last: 80 t + 2 h go round
    head = one.made.curve("scored")(batch)
    handed = collective_seconds(ask.device, "send", batch * 8192 * 2 / 4, 2)
    assert tables.decode[0, -1] == pytest.approx(bare.decode[0, -1] + head + handed)


# ---------------------------------------------------------------- causes and gaps


@pytest.mark.parametrize(("model", "on", "software"), [("llama-3.1-70b", "8xH100-SXM", "vllm"),
                                                       ("deepseek-v3", "8xH200", "sglang")])  # fmt: skip
def test_causes_add_up_to_device_time_of_a_token(model, on, software):
    for one in serving.search(asked(model, on, "tpot=100ms", software=software), Tally()):
        if one.best:
            assert sum(one.causes(one.best).values()) * one.best.per_device == pytest.approx(1)


def test_idle_devices_cost():
    one = best("llama-3.1-8b", "3xH100-SXM", concurrency=64)
    two = next(
        o for o in serving.search(asked("llama-3.1-8b", "3xH100-SXM", concurrency=64), Tally()) if o.layout.plan.tp == 2
    )
    assert (two.layout.copies, two.layout.idle) == (1, 1)
    assert two.causes(two.best)["idle"] == pytest.approx(two.best.tpot / two.best.running)
    assert one.layout.idle == 0


def test_gap_by_hand():
    found = gap({"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 1.5, "c": 0.5})
    assert found.seconds == (3.0, 5.0)
    assert [name for name, *_ in found.larger] == ["a", "c"]
    assert [name for name, *_ in found.smaller] == ["b"]
    assert found.slower == pytest.approx(0.4)


def test_front_by_hand():
    points = [(1.0, 5.0), (2.0, 4.0), (2.0, 3.0), (3.0, 1.0), (0.5, 5.0), (2.5, 0.5)]
    assert front(points) == [3, 1, 0]
    assert front([]) == []
    many = [(2.0**i, 100.0 - i) for i in range(64)]
    ends = front(many)
    assert len(thinned(ends, many, 10)) == 10
    assert {thinned(ends, many, 10)[0], thinned(ends, many, 10)[-1]} == {0, 63}


# ---------------------------------------------------------------- layouts


def test_every_layout_is_counted_once():
    of, device = shape(ledger(load("deepseek-v3"))), device_of(node("h200").chip)
    tally = Tally()
    kept = list(serving_layouts(of, device, 16, tally))
    assert tally.seen == len(kept) + sum(tally.refused.values())
    assert len({(one.plan, one.copies) for one in kept}) == len(kept)
    assert all(one.copies * one.plan.devices + one.idle == 16 for one in kept)


def test_layouts_by_hand():
    # 32 heads; 8 devices in one domain: tp x pp of every divisor
    of, device = shape(ledger(load("llama-3.1-8b"))), device_of(node("h100-sxm").chip)
    kept = [(one.plan.tp, one.plan.pp, one.copies) for one in serving_layouts(of, device, 8, Tally())]
    assert sorted(kept) == sorted(
        (tp, pp, 8 // (tp * pp)) for tp in (1, 2, 4, 8) for pp in (1, 2, 4, 8) if tp * pp <= 8
    )
    assert sizes(6) == [1, 2, 3, 4, 6]
    assert refusal(of, device, Plan(tp=3)).startswith("attention heads")
    assert refusal(of, device, Plan(tp=16)).startswith("tp reaches")
    assert refusal(of, device, Plan(pp=33)).startswith("more pipeline")


def test_quantization_blocks_are_not_cut():
    # Qwen3-235B-A22B-FP8 stores blocks of 128; its experts are 1536 wide: 1536 / 8 = 192 is no whole number of blocks,
    # which vLLM and SGLang refuse at start
    from dataclasses import replace

    of = replace(shape(ledger(load("qwen3-235b-a22b"))), block=128)
    device = device_of(node("h200").chip)
    assert "blocks" in refusal(of, device, Plan(tp=8, etp=8))
    assert refusal(of, device, Plan(tp=4, etp=4)) == ""
    assert refusal(of, device, Plan(tp=8, ep=8, etp=1)) == ""


# ---------------------------------------------------------------- training


@pytest.mark.parametrize(
    ("count", "batch", "software", "degrees", "most"),
    [
        # Korthikanti et al. 2022, table 5: 175B on 64 A100, tp 8, pp 8, batch 64
        (64, 64, "megatron", (8, 8), 0.02),
        # Narayanan et al. 2021, table 2: 175B on 384 A100, tp 8, pp 12, batch 1536
        (384, 1536, "megatron-2021", (8, 12), 0.05),
    ],
)
def test_published_layouts_of_gpt3_on_a100_are_near_the_top(count, batch, software, degrees, most):
    ask = trained("gpt3-175b", f"{count}xA100-SXM4-80GB", batch, 2048, software)
    kept = training.distinct(training.search(ask, Tally()))
    printed = next(one for one in kept if (one.plan.tp, one.plan.pp) == degrees)
    assert printed.step.seconds / kept[0].step.seconds - 1 < most
    assert kept.index(printed) < len(kept) / 3


def test_small_models_shard_parameters_and_share_no_matrices():
    first = training.search(trained("llama-3.1-8b", "8xH100-SXM", 64, 8192), Tally())[0]
    assert (first.plan.tp, first.plan.pp) == (1, 1)


def test_training_rows_fit_and_causes_add_up():
    ask = trained("llama-3.1-70b", "64xH100-SXM", 512, 8192)
    found = training.search(ask, Tally())
    for one in found:
        assert one.memory.total <= training.FULL * ask.device.memory
        assert sum(one.causes().values()) == pytest.approx(64 / one.step.tokens_per_second)
    assert all(one.step.tokens == 512 * 8192 for one in found)


def test_the_least_recompute_that_fits_is_taken():
    ask = trained("llama-3.1-70b", "64xH100-SXM", 512, 8192)
    for one in training.search(ask, Tally())[:40]:
        kinds = training.RECOMPUTES[: training.RECOMPUTES.index(one.plan.recompute)]
        base = training.forward(ask.book, ask.device, one.plan, Formats(compute="bf16", weights="bf16"), training=True)
        for kind in kinds:
            made = training._again(base, one.plan.with_(recompute=kind))
            assert memory_train(made, ask.batch(one.micro_batch)).total > training.FULL * ask.device.memory


def test_training_counts_add_up():
    ask, tally = trained("deepseek-v3", "256xH100-SXM", 2048, 4096), Tally()
    found = training.search(ask, tally)
    assert tally.seen == len(found) + sum(tally.refused.values())


@pytest.mark.parametrize(("layers", "pp", "vp"), [(126, 16, 4), (61, 16, 1), (96, 8, 3), (32, 4, 2)])
def test_chunks_are_dealt_as_stages(layers, pp, vp):
    found = chunks(layers, pp * vp)
    assert sum(found) == layers
    assert tuple(sum(found[i::pp]) for i in range(pp)) == deal(layers, pp, vp)


# ---------------------------------------------------------------- commands

DOCUMENTED = {
    # vllm/engine/arg_utils.py and vllm/entrypoints of vLLM 0.33.0
    "vLLM": "--tensor-parallel-size --pipeline-parallel-size --data-parallel-size --data-parallel-size-local "
    "--data-parallel-address --enable-expert-parallel --nnodes --node-rank --master-addr --max-model-len "
    "--max-num-seqs --max-num-batched-tokens --gpu-memory-utilization --quantization --kv-cache-dtype",
    # sglang/srt/arg_groups/fields/{parallel,schedule,model}.py of SGLang 0.5.23
    "SGLang": "--model-path --tp-size --pp-size --attn-dp-size --ep-size --nnodes --node-rank --dist-init-addr "
    "--context-length --max-running-requests --chunked-prefill-size --mem-fraction-static --quantization "
    "--kv-cache-dtype",
    # tensorrt_llm/commands/serve.py of TensorRT-LLM 1.2
    "TensorRT-LLM": "--tp_size --pp_size --ep_size --max_batch_size --max_num_tokens --max_seq_len "
    "--kv_cache_free_gpu_memory_fraction --extra_llm_api_options",
    # megatron/training/arguments.py, megatron/training/config and megatron/core/*_config.py of core 0.20.0
    "Megatron-LM": "--nnodes --nproc-per-node --tensor-model-parallel-size --sequence-parallel "
    "--pipeline-model-parallel-size --num-virtual-stages-per-pipeline-rank --pipeline-model-parallel-layout "
    "--context-parallel-size --expert-model-parallel-size --expert-tensor-parallel-size "
    "--moe-token-dispatcher-type --moe-grouped-gemm --use-megatron-fsdp --data-parallel-sharding-strategy "
    "--no-gradient-accumulation-fusion --ckpt-format --use-distributed-optimizer --overlap-grad-reduce "
    "--overlap-param-gather --num-distributed-optimizer-instances --recompute-granularity --recompute-method "
    "--recompute-num-layers --micro-batch-size --global-batch-size --seq-length --bf16 --fp8-format",
    # torchrun's; torchtitan's own settings are fields of torchtitan/config/configs.py of 0.3.0
    "torchtitan": "--nnodes --nproc-per-node --module --config",
}
TORCHTITAN = {
    "parallelism": "tensor_parallel_degree pipeline_parallel_degree context_parallel_degree "
    "data_parallel_shard_degree data_parallel_replicate_degree expert_parallel_degree fsdp_reshard_after_forward "
    "pipeline_parallel_schedule pipeline_parallel_microbatch_size",
    "training": "local_batch_size global_batch_size seq_len",
}


@pytest.fixture(scope="module")
def plans():
    return [
        api.plan("llama-3.1-70b", on="8xH100-SXM", isl=1000, osl=500, slo="tpot=40ms", weights="fp8", kv="fp8"),
        api.plan("llama-3.1-8b", on="4xH100-SXM", isl=1000, osl=500),
        api.plan("deepseek-v3", on="16xH200", isl=1000, osl=500, slo="tpot=60ms", engine="sglang"),
        api.plan("deepseek-v3", on="8xH200", isl=1000, osl=500, slo="tpot=60ms", engine="trtllm", kv="fp8"),
        api.plan("deepseek-v3", on="32xH200", isl=1000, osl=500, slo="tpot=60ms"),
        api.plan("llama-3.1-70b", on="64xH100-SXM", train=True, global_batch=512, seq=8192),
        api.plan("llama-3.1-405b", on="1024xH100-SXM", train=True, global_batch=1024, seq=8192, dtype="fp8"),
        api.plan("deepseek-v3", on="256xH100-SXM", train=True, global_batch=2048, seq=4096, engine="torchtitan"),
    ]


def test_commands_use_documented_options_only(plans):
    for result in plans:
        for row in result.launch:
            used = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", " ".join(row.command)))
            assert used <= set(DOCUMENTED[row.program].split()), row.program
            assert row.version
            for section, name in re.findall(r"config\.(\w+)\.(\w+) =", row.text):
                assert name in TORCHTITAN[section].split()
            assert bool(row.command) != bool(row.cannot)


def test_the_planned_engine_has_a_command(plans):
    for result in plans[:5]:
        assert result.launch[0].command
        assert {row.program for row in result.launch} == {"vLLM", "SGLang", "TensorRT-LLM"}


def test_commands_use_all_devices_they_are_given(plans):
    row = plans[0].launch[0]
    assert (row.program, row.command[0]) == ("vLLM", "vllm serve llama-3.1-70b")
    words = " ".join(row.command)
    first = plans[0].serving[0].layout
    assert f"--tensor-parallel-size {first.tp}" in words
    assert "--quantization fp8" in words
    assert "--kv-cache-dtype fp8" in words


def test_commands_only_for_devices_that_programs_run_on():
    on_tpu = api.plan("llama-3.1-8b", on="tpu-v5p:16", train=True, global_batch=64, seq=4096)
    assert (on_tpu.launch, on_tpu.software) == ([], "maxtext")
    assert any("No launch commands" in note for note in on_tpu.notes)
    on_amd = api.plan("llama-3.1-8b", on="8xmi300x", isl=1000, osl=500)
    assert {row.program for row in on_amd.launch} == {"vLLM", "SGLang"}


def test_what_engines_cannot_express():
    mixed = Plan(tp=2, dp=4, ep=2, etp=4)
    assert vllm.cannot(mixed, routed=True)
    assert trtllm.cannot(mixed, routed=True)
    assert sglang.cannot(mixed, routed=True) == ""
    assert vllm.cannot(Plan(tp=2, dp=4, ep=8, etp=1), routed=True) == ""
    assert vllm.cannot(Plan(tp=2, dp=4, ep=1, etp=8), routed=True) == ""
    assert trtllm.cannot(Plan(dp=8, ep=8, etp=1), routed=True) == ""
    assert vllm.cannot(Plan(dp=2), routed=False)


def test_layout_string_of_uneven_stages():
    # the form of Megatron's own documentation of pipeline_parallel_layout: "Et*3|(tt|)*29,m|L"
    assert megatron.layout((7, *[8] * 14, 7)) == "Ettttttt|(tttttttt|)*14,tttttttL"
    for held in ((1, 2, 2, 3, 3, 2), (4, 4), (3, 4, 2)):
        text = megatron.layout(held)
        whole = re.sub(r"\((t*\|)\)\*(\d+),", lambda m: m[1] * int(m[2]), text)
        assert [part.count("t") for part in whole.split("|")] == list(held)
        assert whole.startswith("E")
        assert whole.endswith("L")


def test_torchtitan_file_is_python(plans):
    row = next(r for r in plans[5].launch if r.program == "torchtitan")
    compile(row.text, "plan", "exec")


# ---------------------------------------------------------------- targets and bad input


def test_targets():
    assert target("ttft=1s,tpot=30ms") == Target(1, 0.03)
    assert target(" itl = 30 ms ") == Target(None, 0.03)
    assert target("") == Target()
    assert isclose(chance(0.03, 0.03, 0.2), 0.5)
    assert chance(None, 1.0, 0.2) is None


@pytest.mark.parametrize(
    "text", ["tpot=30", "tpot", "tpot=", "speed=3s", "tpot=-3ms", "tpot=0s", "tpot=1s,itl=2s", "tpot=3GB"]
)
def test_a_target_that_is_none_is_refused(text):
    with pytest.raises(UsageError):
        target(text)


SERVE = ["llama-3.1-8b", "--on", "8xh100-sxm", "--isl", "1000", "--osl", "500"]
TRAIN = ["llama-3.1-8b", "--on", "8xh100-sxm", "--train", "--global-batch", "64", "--seq", "4096"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        ([*SERVE, "--slo", "tpot=30"], 2, "needs a unit"),
        ([*SERVE, "--slo", "tpot=1us"], 3, "the closest is"),
        ([*SERVE, "--engine", "vlm"], 2, "Did you mean vllm"),
        ([*SERVE, "--kv", "fp7"], 2, "number format"),
        ([*SERVE, "--formats", "some"], 2, "--formats is any"),
        ([*SERVE, "--sure", "1.5"], 2, "between 0 and 1"),
        ([*SERVE, "--seq", "4096"], 2, "--seq belongs to a plan of training"),
        ([*SERVE, "--concurrency", "0"], 2, "--concurrency"),
        (SERVE[:3], 2, "needs --isl and --osl"),
        (["bert-base", *SERVE[1:]], 2, "keeps no cache"),
        (["llama-3.1-8b", "--on", "8xh100-sxm", "--isl", "200000", "--osl", "5"], 2, "reads at most"),
        ([*TRAIN, "--isl", "5"], 2, "--isl belongs to a plan of a server"),
        ([*TRAIN, "--dtype", "fp4"], 2, "has no fp4 rate"),
        ([*TRAIN, "--engine", "megatrn"], 2, "Did you mean megatron"),
        ([*TRAIN, "--optimizer", "adan"], 2, "Did you mean adam"),
        (["llama-3.1-405b", *TRAIN[1:]], 3, "smallest changes that make it fit"),
        (TRAIN[:4], 2, "needs --global-batch and --seq"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(capsys, argv, code, said):
    assert run(["plan", *argv]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


# ---------------------------------------------------------------- the answer


def test_json_follows_its_schema(plans):
    for result in plans:
        body = json.loads(result.to_json())
        jsonschema.validate(body, api.schema("plan"))
        assert (body["schema_version"], body["command"]) == (1, "plan")
        assert body["fit"] <= body["seen"]


def test_text_answers_first(plans):
    for result in plans:
        text = result.to_text()
        first = (result.serving or result.training)[0]
        assert text.startswith(first.layout.name)
        for said in ("Second: ", "Method: ", "Next: flopsight predict", "layouts looked at"):
            assert said in text
        assert text.index("Second: ") < text.index("Method: ") < text.index("Next: ")


def test_the_next_command_runs(plans, capsys):
    for result in (plans[0], plans[5]):
        assert run(result.next.split()[1:]) == 0
        assert capsys.readouterr().out


def test_the_front_is_one(plans):
    rows = plans[0].front
    users = [row.tokens_per_s_per_user for row in rows]
    devices = [row.tokens_per_s_per_device for row in rows]
    assert users == sorted(users, reverse=True)
    assert devices == sorted(devices)
    for point in plans[0].plot:
        assert any(u >= point.x and d >= point.y for u, d in zip(users, devices, strict=True)) or len(rows) >= 8


def test_formats_any_are_told_apart():
    result = api.plan("llama-3.1-8b", on="1xH100-SXM", isl=1000, osl=500, slo="tpot=20ms", formats="any")
    kinds = {(row.weights, row.kv) for row in result.serving}
    assert {("bf16", "bf16"), ("fp8", "fp8")} <= kinds
    assert result.serving[0].weights != "bf16"
    assert "weights/kv" in result.to_text()


def test_the_verb_is_the_module():
    import flopsight

    asked = {"on": "1xH100-SXM", "isl": 1000, "osl": 500}
    assert flopsight.plan("llama-3.1-8b", **asked).to_json() == api.plan("llama-3.1-8b", **asked).to_json()
    assert flopsight.plan.Plan is Plan


def test_progress_is_told():
    seen = []
    api.plan(
        "llama-3.1-8b", on="2xH100-SXM", isl=1000, osl=500, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1][0] == seen[-1][1]
