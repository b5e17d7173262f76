"""Prefill, decode and generation: bounds that no prediction may break, and sums that must be exact."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from flopsight.dtypes import dtype as number_format
from flopsight.errors import UsageError
from flopsight.hardware.catalog import find
from flopsight.models.ledger import Ledger, ledger
from flopsight.models.load import load
from flopsight.models.sources import StoredTensor
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device, device_of
from flopsight.predict.engines.catalog import engine, engines
from flopsight.predict.engines.engine import Engine
from flopsight.predict.engines.generation import generation_engines
from flopsight.predict.forward import forward
from flopsight.predict.generate import decode_pass, generate, prefill_pass, routed_layers
from flopsight.predict.kernels.roofline import coefficients
from flopsight.predict.step import Split

MODELS = ("llama-3.1-8b", "mixtral-8x7b", "deepseek-v3", "gpt-j-6b")
CHIPS = (
    "nvidia-h100-sxm5-80gb",
    "nvidia-b200-sxm",
    "amd-mi300x",
    "google-tpu-v5p",
    "apple-m2-ultra",
    "nvidia-rtx-4090",
)
NONE = engine("none")


def book(name: str) -> Ledger:
    return ledger(load(name))


def device(name: str) -> Device:
    return device_of(find(name))


def causes(split: Split) -> float:
    return sum(getattr(split, f.name) for f in fields(Split))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("chip", CHIPS)
def test_never_faster_than_the_bytes(model: str, chip: str) -> None:
    b, d = book(model), device(chip)
    for batch in (1, 16):
        one = decode_pass(b, d, Plan(), Formats(), batch, 1024, NONE)
        moved = sum(float(x.amounts.weights + x.amounts.cache) for x in one.lines)
        assert one.seconds > moved / d.bandwidth


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("chip", CHIPS)
def test_never_faster_than_the_flops(model: str, chip: str) -> None:
    b, d = book(model), device(chip)
    one = prefill_pass(b, d, Plan(), Formats(), 2, 2048, NONE)
    run = forward(b, d, Plan(), Formats())
    flops = sum(float(x.amounts.flops) for x in one.lines)
    assert one.seconds > flops / max(d.rate(run.kept.formats.compute), d.rate(run.kept.formats.experts_compute))


@pytest.mark.parametrize("name", sorted(engines()))
def test_causes_add_up(name: str) -> None:
    b, d = book("mixtral-8x7b"), device("nvidia-h100-sxm5-80gb")
    for one in (
        prefill_pass(b, d, Plan(tp=2), Formats(), 3, 700, engine(name)),
        decode_pass(b, d, Plan(tp=2), Formats(), 3, 700, engine(name)),
    ):
        assert causes(one.split) == one.seconds
        assert one.seconds > 0
        kernels = sum(x.seconds for x in one.lines)
        assert kernels == pytest.approx(sum(x.split.total for x in one.lines))


def test_the_engine_is_named_in_the_split() -> None:
    b, d = book("llama-3.1-8b"), device("nvidia-h100-sxm5-80gb")
    bare = decode_pass(b, d, Plan(), Formats(), 4, 100, NONE)
    slow = Engine("x", host=2e-3, per_layer=10e-6, per_sequence=1e-6, kernels=1.5)
    with_it = decode_pass(b, d, Plan(), Formats(), 4, 100, slow)
    assert with_it.split.host == pytest.approx(2e-3 + 4e-6)
    assert with_it.split.launch == pytest.approx(bare.split.launch * 1.5 + 32 * 10e-6)
    assert with_it.seconds == pytest.approx(bare.seconds * 1.5 + 2e-3 + 4e-6 + 32 * 10e-6)


def test_launching_hides_behind_kernels() -> None:
    b, d = book("llama-3.1-8b"), device("nvidia-h100-sxm5-80gb")
    eager = Engine("x", eager=1e-3, graphs=False)
    small = decode_pass(b, d, Plan(), Formats(), 1, 100, eager)
    assert small.seconds == pytest.approx(32e-3)
    large = prefill_pass(b, d, Plan(), Formats(), 16, 4096, eager)
    assert large.seconds == pytest.approx(prefill_pass(b, d, Plan(), Formats(), 16, 4096, NONE).seconds, rel=0.2)


@pytest.mark.parametrize("model", MODELS)
def test_throughput_grows_with_the_batch(model: str) -> None:
    b, d = book(model), device("nvidia-h200-sxm-141gb")
    rates = [
        decode_pass(b, d, Plan(tp=8), Formats(), n, 512, engine("vllm")).tokens_per_second
        for n in (1, 2, 4, 8, 16, 32, 64, 128)
    ]
    assert rates == sorted(rates)


@pytest.mark.parametrize("model", MODELS)
def test_tensor_parallelism_never_raises_bytes(model: str) -> None:
    b, d = book(model), device("nvidia-h100-sxm5-80gb")
    moved = []
    for tp in (1, 2, 4, 8):
        one = decode_pass(b, d, Plan(tp=tp), Formats(), 8, 512, NONE)
        moved.append(sum(float(x.amounts.weights + x.amounts.cache) for x in one.lines))
    assert moved == sorted(moved, reverse=True)


@pytest.mark.parametrize("model", MODELS)
def test_shards_sum_to_the_whole(model: str) -> None:
    b, d = book(model), device("nvidia-h100-sxm5-80gb")
    whole = forward(b, d, Plan(), Formats())
    assert sum(whole.shard.elements.values()) == pytest.approx(b.params)
    matrices = ("mlp", "experts", "shared_experts", "lm_head")
    for tp in (2, 4):
        part = forward(b, d, Plan(tp=tp), Formats())
        for kind in matrices:
            if kind in whole.shard.elements:
                assert part.shard.elements[kind] * tp == pytest.approx(whole.shard.elements[kind], rel=1e-3)


@pytest.mark.parametrize("model", ["llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b", "deepseek-v3"])
def test_b200_is_never_slower_than_h100(model: str) -> None:
    b, old, new = book(model), device("nvidia-h100-sxm5-80gb"), device("nvidia-b200-sxm")
    for formats in (Formats(), Formats(weights="fp8")):
        for batch in (1, 4, 32, 256):
            times = [decode_pass(b, d, Plan(tp=4), formats, batch, 2048, engine("trtllm")).seconds for d in (old, new)]
            assert times[1] <= times[0], (formats, batch)
        times = [prefill_pass(b, d, Plan(tp=4), formats, 4, 2048, engine("trtllm")).seconds for d in (old, new)]
        assert times[1] <= times[0], formats


def test_generation_is_prefill_and_steps() -> None:
    b, d, e = book("llama-3.1-8b"), device("nvidia-a100-sxm4-80gb"), engine("vllm")
    g = generate(b, d, Plan(), Formats(), 4, 512, 129, e)
    assert g.total == pytest.approx(g.ttft + 128 * g.tpot)
    assert g.ttft == pytest.approx(prefill_pass(b, d, Plan(), Formats(), 4, 512, e).seconds + e.request)
    first = decode_pass(b, d, Plan(), Formats(), 4, 513, e).seconds
    last = decode_pass(b, d, Plan(), Formats(), 4, 640, e).seconds
    assert first <= g.tpot <= last
    assert generate(b, d, Plan(), Formats(), 4, 512, 1, e).total == g.ttft


def test_the_mean_step_is_the_mean_of_all_steps() -> None:
    b, d, e = book("llama-3.1-8b"), device("nvidia-a100-sxm4-80gb"), engine("fastertransformer")
    steps = [decode_pass(b, d, Plan(), Formats(), 8, past, e).seconds for past in range(65, 65 + 40)]
    g = generate(b, d, Plan(), Formats(), 8, 64, 41, e)
    assert g.tpot == pytest.approx(sum(steps) / len(steps), rel=2e-3)


def test_chunks_compute_the_same_tokens() -> None:
    b, d = book("llama-3.1-8b"), device("nvidia-h100-sxm5-80gb")
    whole = prefill_pass(b, d, Plan(), Formats(), 1, 4096, replace(NONE, chunk=8192))
    parts = prefill_pass(b, d, Plan(), Formats(), 1, 4096, replace(NONE, chunk=512))
    assert (parts.steps, whole.steps) == (8, 1)
    assert parts.seconds >= whole.seconds
    for kind in ("mlp",):
        flops = [sum(float(x.amounts.flops) for x in p.lines if x.task.kind == kind) for p in (whole, parts)]
        assert flops[0] == pytest.approx(flops[1])


@pytest.mark.parametrize(
    ("batch", "isl", "chunk"), [(3, 100, 250), (7, 64, 64), (2, 1000, 300), (1, 17, 16), (5, 1, 2)]
)
def test_steps_cover_every_token(batch: int, isl: int, chunk: int) -> None:
    from flopsight.predict.generate import _steps

    found = list(_steps(batch, isl, 0, chunk))
    assert sum(n * b * s for n, b, s, _ in found) == batch * isl
    assert all(b * s <= chunk for _, b, s, _ in found)


def test_steps_of_a_pipeline_follow_each_other() -> None:
    b, d = book("llama-3.1-8b"), device("nvidia-h100-sxm5-80gb")
    small = replace(NONE, chunk=512)
    one = prefill_pass(b, d, Plan(), Formats(), 1, 1024, small)
    four = prefill_pass(b, d, Plan(pp=4), Formats(), 1, 1024, small)
    assert four.seconds == pytest.approx(one.seconds * 5 / 8, rel=0.02)


def test_a_model_too_fine_to_split_is_refused() -> None:
    with pytest.raises(UsageError, match="attention heads"):
        decode_pass(book("llama-3.1-8b"), device("nvidia-h100-sxm5-80gb"), Plan(tp=64), Formats(), 1, 1, NONE)
    for batch, isl in ((0, 1), (1, 0), (-4, 8), (True, 8)):
        with pytest.raises(UsageError, match="whole number of at least 1"):
            prefill_pass(book("llama-3.1-8b"), device("nvidia-h100-sxm5-80gb"), Plan(), Formats(), batch, isl, NONE)


def test_engines_say_where_they_come_from() -> None:
    assert set(generation_engines()) >= {"eager", "compile", "llamacpp", "fastertransformer", "deepspeed", "neuron"}
    for one in generation_engines().values():
        assert one.spread > 0
        assert one.source


def test_routed_layers_are_counted() -> None:
    run = forward(book("deepseek-v3"), device("nvidia-h200-sxm-141gb"), Plan(), Formats())
    assert routed_layers(run) == 58


def test_a_packed_file_is_read_at_its_own_size() -> None:
    """Llama-3-8B as Q4_K_M takes 4.58 GiB (XiongjieDai/GPU-Benchmarks-on-LLM-Inference)."""
    model = load("llama-3-8b")
    size = round(4.58 * 2**30)
    packed = replace(model, stored=(StoredTensor("blk.0.attn_q.weight", number_format("q4_k"), (1,), size),))
    b, d = ledger(packed), device("nvidia-rtx-4090")
    run = forward(b, d, Plan(), Formats())
    assert run.shard.weights == pytest.approx(size, rel=0.001)
    read = sum(float(x.amounts.weights) for x in decode_pass(b, d, Plan(), Formats(), 1, 10, NONE).lines)
    assert read == pytest.approx(size * (1 - 128256 * 4096 / b.params), rel=0.01)
    assert any("bits a weight" in note for note in run.kept.notes)


def test_pictures_are_part_of_a_prompt() -> None:
    b, d = book("qwen2.5-vl-7b"), device("nvidia-h100-sxm5-80gb")
    plain = prefill_pass(b, d, Plan(), Formats(), 1, 2000, NONE)
    seen = prefill_pass(b, d, Plan(), Formats(), 1, 2000, NONE, images=1)
    assert seen.seconds > plain.seconds
    assert any(x.task.kind == "vision" for x in seen.lines)


def test_caches_of_one_shape_are_read_whole() -> None:
    b, d = book("llama-3.1-8b"), device("nvidia-a100-sxm4-80gb")
    g = generate(b, d, Plan(), Formats(), 8, 128, 4000, engine("compile"))
    assert g.tpot == decode_pass(b, d, Plan(), Formats(), 8, 4128, engine("compile")).seconds


def test_llamacpp_multiplies_prompts_in_sixteen_bits() -> None:
    """Narrow weights cost a prompt more than 16-bit ones, and a decode step less."""
    b, d, e = book("llama-3-8b"), device("nvidia-rtx-4090"), engine("llamacpp")
    narrow = Formats(weights="q4_k", head="q6_k")
    wide, packed = (prefill_pass(b, d, Plan(), f, 1, 512, e).seconds for f in (Formats(), narrow))
    assert packed > wide
    wide, packed = (decode_pass(b, d, Plan(), f, 1, 512, e).seconds for f in (Formats(), narrow))
    assert packed < wide / 2


def test_borrowed_kernels_are_less_sure() -> None:
    b = book("llama-3.1-8b")
    sigma = [
        decode_pass(b, device(chip), Plan(), Formats(), 1, 10, engine("vllm")).sigma
        for chip in ("nvidia-h100-sxm5-80gb", "amd-mi300x")
    ]
    measured = "nvidia-h100-sxm5-80gb" in coefficients("gemm")["chips"]
    assert (sigma[0] == engine("vllm").spread) is measured
    assert sigma[1] > engine("vllm").spread


def test_every_fitted_engine_has_its_error_beside_it() -> None:
    data = coefficients("generation")
    assert data["protocol"]
    assert data["source"]
    for name, values in data["engines"].items():
        error = data["error"][name]
        assert error["n"] >= 5
        assert 0 < error["median"] <= error["p90"]
        assert values["spread"] == error["spread"]
