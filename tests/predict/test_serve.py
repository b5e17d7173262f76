import statistics
from itertools import pairwise

import pytest

from flopsight.errors import UsageError
from flopsight.hardware.catalog import find
from flopsight.models.ledger import ledger
from flopsight.models.load import load
from flopsight.plan import Formats, Plan
from flopsight.predict.device import device_of
from flopsight.predict.engines.catalog import engine as engine_of
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import forward
from flopsight.predict.kernels.roofline import coefficients
from flopsight.predict.serve import Requests, cache_bytes, serve

LLAMA = ledger(load("llama-3.1-8b"))
H100 = device_of(find("nvidia-h100-sxm5-80gb"))
BARE = Engine("bare")


def asked(c, isl=1024, osl=1024, engine=BARE, **more):
    return serve(LLAMA, H100, Plan(), Formats(), Requests(c, isl, osl, **more), engine)


def test_one_client_is_a_plain_generation():
    """One user, nobody else's prompts: TPOT is a decode step plus this client's own next prompt, spread over osl."""
    found = asked(1)
    made = forward(LLAMA, H100, Plan(), Formats())
    step = float(made.seconds(1, 1, 1536, decode=True))
    assert found.tpot == pytest.approx(step, rel=0.02)
    assert found.running == pytest.approx(1, rel=0.03)
    assert not found.queued


def test_littles_law():
    """c = X (TTFT + osl TPOT): holds for any stable queue (Little 1961)."""
    for c, isl, osl in ((8, 1024, 256), (64, 4096, 128), (200, 512, 2048)):
        found = asked(c, isl, osl)
        assert found.total / osl * (found.ttft + osl * found.tpot) == pytest.approx(c, rel=0.02)


def test_little_when_the_cache_is_full():
    found = asked(3000, 8192, 1024)
    assert found.queued
    assert found.running == pytest.approx(found.seats, rel=0.01)
    assert found.total / 1024 * (found.ttft + 1024 * found.tpot) == pytest.approx(3000, rel=0.02)


def test_causes_add_up():
    found = asked(64, engine=Engine("e", host=1e-3, per_layer=1e-5, kernels=1.1))
    assert found.decode.total + found.prefill.total == pytest.approx(found.tpot, rel=0.03)
    assert found.decode.host >= 1e-3


def test_throughput_grows_and_users_slow_down():
    many = [asked(c) for c in (1, 4, 16, 64, 128)]
    assert all(a.total < b.total and a.tpot < b.tpot for a, b in pairwise(many))


def test_cached_prefix_saves_prompts():
    plain, warm = asked(32, 8192, 256), asked(32, 8192, 256, prefix_hit=0.9)
    assert warm.tpot < plain.tpot
    assert warm.ttft < 0.5 * plain.ttft


def test_drafts_pay_at_small_batches():
    plain, drafted = asked(2), asked(2, acceptance=0.8, draft_tokens=2)
    assert 1 / 2.44 < drafted.tpot / plain.tpot < 0.6


def test_cache_bytes_of_llama():
    """2 · 32 layers · 8 heads · 128 · 2 bytes = 131,072 bytes a token (Llama 3.1 8B's config)."""
    made = forward(LLAMA, H100, Plan(), Formats())
    assert cache_bytes(made, 1000) == pytest.approx(131_072 * 1000, rel=0.002)


def test_pools_apart_leave_decode_alone():
    both = asked(64, 4096, 256)
    apart = serve(LLAMA, H100, Plan(), Formats(), Requests(64, 4096, 256), BARE, prefill=(Plan(), 2), workers=1)
    assert apart.tpot < both.tpot
    assert apart.prefill.total == 0
    assert apart.per_device == pytest.approx(apart.total / 3)


def test_prefill_pool_can_be_too_small():
    """One worker computes at most 1 / prefill prompts a second, however many decode."""
    found = serve(LLAMA, H100, Plan(), Formats(), Requests(512, 8192, 64), BARE, prefill=(Plan(), 1), workers=8)
    made = forward(LLAMA, H100, Plan(), Formats())
    alone = float(made.seconds(1, 8192, 0))
    assert found.total / 64 <= 1.02 / alone


@pytest.mark.parametrize("bad", [{"concurrency": 0}, {"isl": 0}, {"osl": -1}, {"prefix_hit": 1.0}, {"draft_tokens": 2}])
def test_refused(bad):
    with pytest.raises(UsageError):
        Requests(**({"concurrency": 1, "isl": 10, "osl": 10} | bad))


# ------------------------------------------------------------ published runs


LLAMA_70B = ledger(load("llama-3.1-70b"))
PUBLISHED = {
    # SemiAnalysis InferenceX, Llama-3.1-70B fp8, 8 devices, 1k/1k (lengths drawn from 0.8 to 1.0): TPOT ms by clients
    ("nvidia-h100-sxm5-80gb", "vllm"): {4: 9.11, 8: 9.36, 16: 11.39, 32: 12.64, 64: 15.45},
    ("nvidia-h200-sxm-141gb", "trtllm"): {4: 6.26, 8: 6.72, 16: 7.69, 32: 9.30, 64: 13.51, 128: 21.64},
    ("nvidia-b200-sxm", "trtllm"): {4: 5.45, 8: 5.68, 16: 6.51, 32: 7.36, 64: 9.60, 128: 13.65},
}


@pytest.mark.parametrize(("chip", "name"), PUBLISHED)
def test_published_tpot(chip, name):
    """The median of each series within 30 %, every point within 45 %."""
    formats = Formats(weights="fp8", cache="" if "h100" in chip else "fp8")
    device, engine = device_of(find(chip)), engine_of(name)
    ratios = [
        serve(LLAMA_70B, device, Plan(tp=8), formats, Requests(c, 922, 922), engine).tpot * 1e3 / told
        for c, told in PUBLISHED[chip, name].items()
    ]
    assert statistics.median(ratios) == pytest.approx(1, abs=0.3)
    assert all(0.55 < ratio < 1.45 for ratio in ratios)


def test_constants_carry_their_error():
    kept = coefficients("engines")
    assert {"source", "protocol", "error", "rejected", "engines", "chips"} <= set(kept)
    for name in ("family left out", "system left out", "evidence blocks"):
        assert kept["error"][name]["tpot"]["median"] < 15
        assert kept["error"][name]["tpot"]["mape"] < 18
    for name in ("vllm", "sglang", "trtllm"):
        one = engine_of(name)
        assert 0.7 < one.kernels < 1.5
        assert 0 <= one.burst <= 1
        assert one.spreads["ttft"] > one.spreads["tpot"] > 0


def test_less_sure_where_nothing_was_measured():
    vllm = engine_of("vllm")
    known = serve(LLAMA, H100, Plan(), Formats(), Requests(4, 100, 100), vllm)
    other = serve(LLAMA, device_of(find("amd-mi300x")), Plan(), Formats(), Requests(4, 100, 100), vllm)
    assert other.sigma_tpot > known.sigma_tpot


def test_a_model_that_may_draft_is_less_sure():
    book = ledger(load("deepseek-v3"))
    chip = device_of(find("nvidia-h200-sxm-141gb"))
    plain = serve(book, chip, Plan(tp=8), Formats(weights="fp8"), Requests(4, 1000, 1000), engine_of("sglang"))
    drafts = Requests(4, 1000, 1000, acceptance=0.85, draft_tokens=1)
    told = serve(book, chip, Plan(tp=8), Formats(weights="fp8"), drafts, engine_of("sglang"))
    assert told.sigma_tpot < plain.sigma_tpot
    assert any("draft" in note for note in plain.left_out)
    assert 0.5 < told.tpot / plain.tpot < 0.95
