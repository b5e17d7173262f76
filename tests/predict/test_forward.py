"""A model laid over devices: shards sum to the whole, causes to the time, and the compiled pass to the table."""

import numpy as np
import pytest

from flopsight.errors import UsageError
from flopsight.hardware.catalog import builtin_chips, find
from flopsight.models.ledger import ledger
from flopsight.models.load import bundled, load
from flopsight.models.storage import stored_bytes
from flopsight.plan import Formats, Plan
from flopsight.predict.device import device_of
from flopsight.predict.formats import resolve
from flopsight.predict.forward import Forward
from flopsight.workload import Workload

H100, H200, B200, A100 = (device_of(find(name)) for name in ("h100-sxm", "h200-sxm", "b200-sxm", "a100-sxm-80gb"))
PREFILL, DECODE = Workload("prefill", 2, 512), Workload("decode", 4, 1, 512)
REPLICATED = 0.05
"""Latent down-projections and few key-value heads are computed whole on every device."""


def made(name, plan=None, formats=None, device=H100):
    return Forward(ledger(load(name)), device, plan or Plan(), formats or Formats())


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_model_can_be_laid_on_one_device_without_losing_anything(name):
    one = made(name)
    assert one.shard.params == pytest.approx(one.book.params, rel=1e-9)
    for workload in (PREFILL, DECODE):
        found = one.lines(workload)
        flops = sum(float(line.amounts.flops) for line in found)
        assert flops == pytest.approx(float(one.book.total(workload).executed), rel=1e-9)
        seconds = sum(line.seconds for line in found)
        assert one.split(workload).total == pytest.approx(seconds, rel=1e-9)
        fast = one.seconds(workload.batch, workload.seq, workload.past, decode=workload.phase == "decode")
        assert fast == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize("name", ["llama-3.1-70b", "mixtral-8x7b", "gpt3-175b", "bloom-176b", "qwen3-235b-a22b"])
@pytest.mark.parametrize("tp", [2, 4])
def test_the_shards_of_a_layout_sum_to_the_whole(name, tp):
    whole, part = made(name), made(name, Plan(tp=tp))
    flops = [sum(float(line.amounts.flops) for line in one.lines(PREFILL)) for one in (whole, part)]
    assert flops[1] * tp == pytest.approx(flops[0], rel=0.01)
    assert part.shard.params * tp == pytest.approx(whole.shard.params, rel=0.01)


@pytest.mark.parametrize("name", ["deepseek-v3", "kimi-k2", "minicpm3-4b"])
def test_latent_models_repeat_only_their_down_projections(name):
    whole, part = made(name), made(name, Plan(tp=2))
    flops = [sum(float(line.amounts.flops) for line in one.lines(PREFILL)) for one in (whole, part)]
    assert 1 <= flops[1] * 2 / flops[0] < 1 + REPLICATED


def test_experts_spread_over_devices_hold_and_do_their_share():
    plan = Plan(tp=1, dp=8, ep=8)
    part = made("deepseek-v3", plan, device=H200)
    experts = ledger(load("deepseek-v3")).by_kind["experts"]
    assert part.shard.elements["experts"] * 8 == pytest.approx(experts)
    every = {t.path.rpartition(".")[2]: t.kernel for t in part.shard.tasks if t.kind == "collective"}
    assert set(every) == {"dispatch", "combine"}
    assert every["combine"].ranks == 8


def test_pipeline_stages_share_the_layers_only():
    whole, part = made("llama-3.1-8b"), made("llama-3.1-8b", Plan(pp=4))
    for kind in ("attention", "mlp"):
        assert part.shard.elements[kind] * 4 == pytest.approx(whole.shard.elements[kind])
    assert part.shard.elements["embedding"] == whole.shard.elements["embedding"]


@pytest.mark.parametrize("name", ["llama-3.1-8b", "gemma-2-9b", "deepseek-v3", "nemotron-h-8b", "t5-base"])
def test_arrays_give_what_numbers_give(name):
    one = made(name)
    batch, past = np.array([1, 3, 17, 200]), np.array([1, 100, 5000, 60_000])
    every = one.seconds(batch, 1, past, decode=True)
    single = [one.seconds(int(b), 1, int(p), decode=True) for b, p in zip(batch, past, strict=True)]
    assert np.allclose(every, single, rtol=1e-9)


def test_stored_bytes_are_those_of_the_checkpoint():
    for name in ("deepseek-v3", "qwen2.5-7b-instruct-awq", "gpt-oss-20b", "llama-3.1-8b"):
        one = made(name, device=B200)
        assert one.shard.weights == pytest.approx(stored_bytes(one.book).total, rel=0.01)


def test_formats_follow_the_checkpoint_and_the_device():
    book = ledger(load("deepseek-v3"))
    assert resolve(book, H100, Formats()).formats.compute == "fp8"
    assert resolve(book, A100, Formats()).formats.compute == "bf16"
    awq = resolve(ledger(load("qwen2.5-7b-instruct-awq")), H100, Formats())
    assert awq.formats.compute in ("bf16", "fp16")
    assert resolve(ledger(load("llama-3.1-8b")), B200, Formats(weights="nvfp4")).formats.compute == "fp4"
    assert resolve(ledger(load("llama-3.1-8b")), H100, Formats(weights="int4")).formats.compute == "bf16"
    with pytest.raises(UsageError, match="no fp8 rate"):
        resolve(book, A100, Formats(compute="fp8"))


def test_what_does_not_divide_is_one_sentence_with_what_does():
    with pytest.raises(UsageError, match=r"tp 3 does not divide the 64 attention heads .* possible are 1, 2, 4, 8"):
        made("llama-3.1-70b", Plan(tp=3))
    with pytest.raises(UsageError, match="does not divide the 8 experts"):
        made("mixtral-8x7b", Plan(dp=3, ep=3))
    with pytest.raises(UsageError, match="more than the 32 layers"):
        made("llama-3.1-8b", Plan(pp=64))
    for wrong in ({"tp": 0}, {"tp": -1}, {"tp": True}, {"zero": 4}, {"ep": 3}, {"hsdp": 2}):
        with pytest.raises(UsageError):
            Plan(**wrong)


def test_every_chip_with_a_bandwidth_answers():
    book = ledger(load("llama-3.2-1b"))
    for chip in builtin_chips():
        device = device_of(chip)
        if not device.peaks:
            assert any("unknown" in note for note in device.notes)
            continue
        seconds = Forward(book, device, Plan(), Formats()).seconds(1, 1, 128, decode=True)
        assert seconds > 0.9 * 2 * (book.params - book.by_kind["embedding"]) / device.bandwidth
