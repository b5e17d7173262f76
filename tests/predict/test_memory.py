"""Memory of inference: against start-up logs of engines, and laws that hold for every model.

Each published case says where it was printed; GiB as the engine prints them.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from flopsight.errors import UsageError
from flopsight.hardware.catalog import find
from flopsight.models.ledger import Ledger, ledger
from flopsight.models.load import load
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device, device_of
from flopsight.predict.engines.catalog import engine
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import forward
from flopsight.predict.memory import GIB, Cache, cache_of, memory, smallest_change, step_bytes
from flopsight.validate.predicted.memory import exceptions, held
from flopsight.validate.rows import read_rows

VLLM = Engine("vllm", block=16, chunk=8192, sequences=256, fraction=0.9)


def book(name: str) -> Ledger:
    return ledger(load(name))


def device(name: str) -> Device:
    return device_of(find(name))


H100, H200, A100 = (device(n) for n in ("h100-80gb-hbm3", "h200", "a100-80gb"))

LOGS = [
    # model, formats, tensor parallel, GiB of cache, longest request, tokens printed, where
    ("phi-4", Formats(), 1, 45.21, 512, 14815 * 16, "vLLM 0.8 log, '# cuda blocks: 14815'"),
    ("qwen2.5-0.5b", Formats(), 1, 34.81, 32768, 190100 * 16, "vLLM 0.7 log, '# cuda blocks: 190100'"),
    ("qwen3-235b-a22b", Formats(), 4, 8.11, 40960, 178_880, "vllm-project/vllm#21348, vLLM"),
    ("qwen3-235b-a22b", Formats(), 4, 16.46, 40960, 367_404, "vllm-project/vllm#21348, SGLang: K 8.23 + V 8.23"),
    ("qwen3-30b-a3b", Formats(), 1, 152.88, 40960, 1_669_816, "sgl-project/sglang#18263: K 76.44 + V 76.44"),
    ("llama-3.1-8b", Formats(), 8, 113.45, 131072, 464716 * 16, "mlcommons/inference#2267, 56.73 x 131,072 tokens"),
    ("qwen3.5-35b-a3b", Formats(cache="fp8"), 1, 5.98, 131072, 567_978, "noonghunna/club-3090#612 (Qwen3.6-35B-A3B)"),
    ("qwen3.5-35b-a3b", Formats(cache="fp8"), 1, 6.01, 131072, 569_878, "noonghunna/club-3090#652 (Qwen3.6-35B-A3B)"),
]


@pytest.mark.parametrize(("model", "formats", "tp", "room", "longest", "tokens", "where"), LOGS)
def test_tokens_of_a_cache_as_engines_print_them(
    model: str, formats: Formats, tp: int, room: float, longest: int, tokens: int, where: str
) -> None:
    run = forward(book(model), device("nvidia-rtx-5090") if formats.cache else H200, Plan(tp=tp), formats)
    assert cache_of(run, VLLM).tokens(room * GIB, longest) == pytest.approx(tokens, rel=0.02), where


GEMMA_31B = Cache(full=10 * 4 * 512 * 2 * 2, windows=((1024, 50 * 16 * 256 * 2 * 2),), fixed=0, block=16, chunk=8192)
"""Gemma 4 31B in bf16: 10 layers of 4 heads of 512 keep everything, 50 of 16 heads of 256 a window of 1,024."""


@pytest.mark.parametrize(("room", "tokens"), [(64.68, 626_949), (103.92, 1_007_303)])
def test_windows_are_counted_with_the_prompt_of_a_step(room: float, tokens: int) -> None:
    """redhat-performance/configiq#112: vLLM on an H200 printed these where a calculator said 972,134 and 2,684,804."""
    assert GEMMA_31B.tokens(room * GIB, 262_144) == pytest.approx(tokens, rel=0.005)


def test_windows_shared_by_two_devices() -> None:
    """Gemma 4 31B, TP 2, blocks of 64, 163,840 tokens: 10.12 GiB held 169,314 tokens (with draft layers beside)."""
    half = Cache(GEMMA_31B.full / 2, ((1024, GEMMA_31B.windows[0][1] / 2),), 0, 64, 8192)
    assert half.tokens(10.12 * GIB, 163_840) == pytest.approx(169_314, rel=0.005)


def test_the_bundled_gemma_4_has_its_windows() -> None:
    """Gemma 4 26B A4B config.json: 30 layers, 5 full with 2 heads of 512, 25 with 8 heads of 256, window 1,024."""
    found = cache_of(forward(book("gemma-4-26b-a4b"), H200, Plan(), Formats()), VLLM)
    assert found.full == 5 * 2 * 512 * 2 * 2
    assert found.windows == ((1024, 25 * 8 * 256 * 2 * 2),)


START = [
    # model, device, fraction, prompt tokens of a step, GiB of weights and left for the cache, where
    ("llama-3-8b", H100, 0.90, 8192, 14.96, 53.29, "vllm-project/vllm#10511"),
    ("gpt-oss-20b", A100, 0.65, 2048, 13.72, 36.56, "myoceane.fr, vLLM 0.19.0 on A100"),
    ("gemma-4-26b-a4b", A100, 0.90, 2048, 48.5, 21.5, "myoceane.fr, vLLM 0.19.0 on A100, eager"),
]


@pytest.mark.parametrize(("model", "chip", "fraction", "chunk", "weights", "room", "where"), START)
def test_what_weights_and_activations_leave(
    model: str, chip: Device, fraction: float, chunk: int, weights: float, room: float, where: str
) -> None:
    one = replace(VLLM, chunk=chunk, fraction=fraction)
    found = memory(book(model), chip, Plan(), Formats(), one, concurrency=256, isl=8192, osl=1)
    assert found.weights / GIB == pytest.approx(weights, rel=0.07), where
    assert found.room / GIB == pytest.approx(room, rel=0.05), where


def test_sglang_takes_its_fraction_of_weights_and_cache() -> None:
    """sgl-project/sglang#18263: 287.18 GB free before 56.98 of weights, fraction 0.911: 204.63 left for the cache."""
    whole = replace(H200, memory=287.18 * GIB + 0.5 * GIB)
    one = replace(VLLM, name="sglang", fraction=0.911)
    found = memory(book("qwen3-30b-a3b"), whole, Plan(), Formats(), one, concurrency=256, isl=8192, osl=1)
    assert found.weights / GIB == pytest.approx(56.98, rel=0.01)
    assert found.room / GIB == pytest.approx(204.63, rel=0.002)


def test_activations_of_a_step() -> None:
    """vllm-project/vllm#10511: peak of 1.26 GiB for Llama-3-8B, 8,192 tokens and 256 sequences."""
    assert step_bytes(forward(book("llama-3-8b"), H100, Plan(), Formats()), 8192, 256) / GIB == pytest.approx(
        1.26, rel=0.2
    )


# ------------------------------------------------------------ laws


def test_parts_add_up() -> None:
    m = memory(book("llama-3.1-8b"), H100, Plan(), Formats(), VLLM, concurrency=7, isl=100, osl=33)
    assert m.total == m.weights + m.cache + m.activations + m.buffers + m.fragmentation
    assert m.cache == 7 * 133 * 131072
    assert m.fits
    assert m.starts


@pytest.mark.parametrize("model", ["llama-3.1-8b", "gemma-3-27b", "deepseek-v3", "qwen3.5-35b-a3b", "mixtral-8x7b"])
def test_the_largest_batch_is_where_it_breaks(model: str) -> None:
    whole = replace(H200, memory=16 * H200.memory)
    most = memory(book(model), whole, Plan(), Formats(), VLLM, concurrency=1, isl=2000, osl=500).largest_batch
    assert 1 < most < 2**24
    many = replace(VLLM, sequences=1)
    for batch in (most // 2, 2 * most):
        m = memory(book(model), whole, Plan(), Formats(), many, concurrency=batch, isl=1, osl=2499)
        assert m.largest_batch == pytest.approx(most, rel=0.02)
        assert m.fits is (batch < most)
        assert (m.cache + m.fragmentation - 0.02 * m.activations <= m.room) is m.fits


@pytest.mark.parametrize("model", ["llama-3.1-70b", "gemma-3-27b", "deepseek-v3", "mixtral-8x7b", "qwen3-next-80b-a3b"])
def test_more_devices_never_hold_more_each(model: str) -> None:
    found = [
        memory(book(model), H200, Plan(tp=tp), Formats(), VLLM, concurrency=8, isl=1000, osl=100) for tp in (1, 2, 4, 8)
    ]
    for a, b in pairwise(found):
        assert b.weights <= a.weights
        assert b.cache <= a.cache
        assert b.activations <= a.activations


def test_longer_and_more_hold_more() -> None:
    b = book("gemma-3-27b")
    totals = [
        memory(b, H200, Plan(), Formats(), VLLM, concurrency=n, isl=isl, osl=64).total
        for n, isl in ((1, 100), (1, 1000), (1, 10_000), (4, 10_000), (32, 10_000))
    ]
    assert totals == sorted(totals)


def test_a_cache_in_fp8_holds_twice_as_much() -> None:
    run = [cache_of(forward(book("llama-3.1-8b"), H100, Plan(), Formats(cache=c)), VLLM) for c in ("bf16", "fp8")]
    assert run[1].full * 2 == run[0].full


def test_blocks_are_whole() -> None:
    one = Cache(10.0, (), 7.0, 16, 8192)
    assert one.bytes(1) == 167
    assert one.bytes(16) == 167
    assert one.bytes(17) == 327
    assert one.exact(17) == 177


def test_latent_caches_lie_whole_on_every_device() -> None:
    """DeepSeek-V3 keeps 61 layers of 512 + 64 values a token, however many devices share the heads."""
    for tp in (1, 8):
        found = cache_of(forward(book("deepseek-v3"), H200, Plan(tp=tp), Formats()), VLLM)
        assert found.full == 61 * 576 * 2


def test_zero_shares_weights_out() -> None:
    b = book("bloom-176b")
    plain = memory(b, A100, Plan(dp=8), Formats(), engine("eager"), concurrency=8, isl=8, osl=8)
    spread = memory(b, A100, Plan(dp=8, zero=3), Formats(), engine("eager"), concurrency=8, isl=8, osl=8)
    assert not plain.starts
    assert spread.starts


# ------------------------------------------------------------ what would help


def change(model: str, chip: Device, plan: Plan, **asked: int) -> str:
    return smallest_change(book(model), chip, plan, Formats(), VLLM, **asked)


def test_the_smallest_change_is_named() -> None:
    assert change("llama-3.1-8b", H100, Plan(), concurrency=4, isl=1000, osl=100).startswith("It fits")
    assert "at most" in change("llama-3.1-8b", H100, Plan(), concurrency=9000, isl=1000, osl=100)
    assert "fp8" in change("llama-3.1-70b", H100, Plan(), concurrency=1, isl=1000, osl=100)
    assert "among 4 devices" in change("llama-3.1-70b", A100, Plan(tp=2), concurrency=1, isl=100_000, osl=100)
    both = change("llama-3.1-405b", H100, Plan(), concurrency=1, isl=1000, osl=100)
    assert "fp8" in both
    assert "8 devices" in both
    told = change("llama-3.1-8b", device("nvidia-rtx-4090"), Plan(), concurrency=1, isl=60_000, osl=100)
    assert told == "Keep the cache in fp8."
    assert "Nothing tried" in change("deepseek-v3", device("nvidia-t4"), Plan(), concurrency=1, isl=1000, osl=100)


def test_what_it_names_does_help() -> None:
    now = {"concurrency": 1, "isl": 1000, "osl": 100}
    told = change("llama-3.1-70b", H100, Plan(), **now)
    assert told == "Store the weights in fp8."
    assert memory(book("llama-3.1-70b"), H100, Plan(), Formats(weights="fp8"), VLLM, **now).starts


def test_unknown_memory_is_said() -> None:
    blank = replace(H100, memory=0.0)
    found = memory(book("llama-3.1-8b"), blank, Plan(), Formats(), VLLM, concurrency=1, isl=10, osl=10)
    assert not found.fits
    assert any("not known" in note for note in found.notes)
    assert "cannot be said" in smallest_change(
        book("llama-3.1-8b"), blank, Plan(), Formats(), VLLM, concurrency=1, isl=10, osl=10
    )


@pytest.mark.parametrize("asked", [{"concurrency": 0}, {"isl": -1}, {"osl": True}, {"isl": 1.5}])
def test_bad_input_is_refused(asked: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="whole number of at least 1"):
        memory(book("llama-3.1-8b"), H100, Plan(), Formats(), VLLM, **{"concurrency": 1, "isl": 1, "osl": 1, **asked})


@pytest.mark.skipif(
    "FLOPSIGHT_EVIDENCE" not in os.environ, reason="set FLOPSIGHT_EVIDENCE to a folder of measurements to run them all"
)
def test_what_ran_is_predicted_to_run() -> None:
    rows = read_rows(Path(os.environ["FLOPSIGHT_EVIDENCE"]))
    assert exceptions(rows) == ()
    unanswered = [one for one in held(rows) if one.found is None]
    assert all("experts among" in one.why for one in unanswered)
    assert len(unanswered) <= 8
    assert math.isfinite(sum(one.found.total for one in held(rows) if one.found))
