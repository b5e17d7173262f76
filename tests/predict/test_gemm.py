"""Dense products: against published timings that the fit has not seen, and against what no machine can do."""

import math
import time

import numpy as np
import pytest

from flopsight.errors import UsageError
from flopsight.hardware.catalog import find
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels.efficiency import KNOTS, Curve, Efficiency, Surface, place, rising
from flopsight.predict.kernels.gemm import format_of, gemm_seconds, gemm_spread, known
from flopsight.predict.kernels.roofline import coefficients

A100, H100, H200, H20, B200, B300, L40S, RTX = (
    device_of(find(name))
    for name in (
        "nvidia-a100-sxm4-80gb", "nvidia-h100-sxm5-80gb", "nvidia-h200-sxm-141gb", "nvidia-h20-96gb",
        "nvidia-b200-sxm", "nvidia-b300-sxm", "nvidia-l40s", "nvidia-rtx-pro-6000-blackwell-server",
    )
)  # fmt: skip
SHAPES = [(n, k) for n in (256, 1024, 4096, 5120, 14336, 57344) for k in (512, 4096, 8192, 28672)]
M = np.array([1, 2, 7, 16, 17, 33, 64, 65, 100, 128, 129, 200, 256, 300, 512, 1000, 2048, 3000, 8192, 60000, 200000])
FORMATS = (("bf16", 16.0, False), ("fp8", 8.0, False), ("fp8", 8.0, True), ("bf16", 4.25, False))

# m, n, k, format, milliseconds: medians of kernels timed by others, none of them in the tables of the fit
VIDUR = [  # microsoft/vidur 7d47513, data/profiling/compute: gate and up of Llama-2-70B over 4, fp16
    (A100, 4096, 14336, 8192, 3.835), (H100, 4096, 14336, 8192, 1.361), (H100, 4096, 5504, 4096, 0.260),
]  # fmt: skip
DEEPGEMM = [  # deepseek-ai/DeepGEMM 327ec92 README, H800, TFLOP/s of fp8 with blocks
    (4096, 24576, 1536, 1212.0),
]
INFERSIM = [  # alibaba/InferSim f2293da, bench_data/gemm/h20: fp8, microseconds
    (4096, 5120, 2048, 329.992), (16384, 3648, 2048, 916.177), (1024, 7168, 5120, 283.965),
    (64, 5120, 25600, 74.908), (8192, 4096, 12288, 3094.0),
]  # fmt: skip


@pytest.mark.parametrize(("device", "m", "n", "k", "ms"), VIDUR)
def test_published_projections(device, m, n, k, ms):
    assert gemm_seconds(device, m, n, k) * 1e3 == pytest.approx(ms, rel=0.15)


@pytest.mark.parametrize(("m", "n", "k", "tflops"), DEEPGEMM)
def test_published_block_scaled(m, n, k, tflops):
    h800 = device_of(find("nvidia-h800-sxm5-80gb"))
    ours = 2 * m * n * k / gemm_seconds(h800, m, n, k, compute="fp8", weight_bits=8, block=True) / 1e12
    assert ours == pytest.approx(tflops, rel=0.15)


def test_a_chip_of_the_family_with_a_seventh_of_the_rate():
    """H20 was not measured: what a tile costs beside its products stays, so its share of the peak is higher."""
    form = {"compute": "fp8", "weight_bits": 8, "block": True}
    errors = [abs(gemm_seconds(H20, m, n, k, **form) * 1e6 / us - 1) for m, n, k, us in INFERSIM]
    assert sorted(errors)[len(errors) // 2] < 0.15
    peak = 2 * 8192 * 8192 * 8192 / H20.rate("fp8")
    assert peak / gemm_seconds(H20, 8192, 8192, 8192, compute="fp8", weight_bits=8, block=True) > 0.8


def test_shapes_left_out_are_within_the_target():
    """Median error of pairs (n, k) and of m left out, as the file of coefficients reports it."""
    errors = coefficients("gemm")["error"]
    for how in ("pairs left out", "m left out"):
        medians = {name: found[how]["median"] for name, found in errors.items()}
        assert all(value < 0.10 for value in medians.values()), {k: v for k, v in medians.items() if v >= 0.10}
        assert sorted(medians.values())[len(medians) // 2] < 0.05


@pytest.mark.parametrize("device", [A100, H100, H200, H20, B200, L40S, RTX], ids=lambda d: d.id)
def test_never_beyond_light_speed(device):
    for compute, bits, block in FORMATS:
        if not device.has(compute):
            continue
        e, _, _ = known("gemm", device, format_of(compute, bits, block))
        for n, k in SHAPES:
            seconds = gemm_seconds(device, M, n, k, compute=compute, weight_bits=bits, block=block)
            assert np.all(seconds >= 0.999 * n * k * bits / 8 / device.bandwidth)
            assert np.all(seconds >= 0.98 * 2 * M * n * k / (device.rate(compute) * max(e.ceiling, 1.1)))


@pytest.mark.parametrize("device", [A100, H100, B200, L40S, H20], ids=lambda d: d.id)
def test_more_rows_never_take_less(device):
    for compute, bits, block in FORMATS:
        if device.has(compute):
            for n, k in SHAPES:
                seconds = gemm_seconds(device, M, n, k, compute=compute, weight_bits=bits, block=block)
                assert np.all(np.diff(seconds) >= -1e-12)


@pytest.mark.parametrize(("older", "newer"), [(A100, H100), (H100, H200), (H100, B200), (B200, B300), (L40S, RTX)])
def test_a_newer_chip_is_never_slower(older, newer):
    for compute, bits, block in FORMATS:
        if older.has(compute) and newer.has(compute):
            for n, k in SHAPES:
                before, after = (
                    gemm_seconds(d, M, n, k, compute=compute, weight_bits=bits, block=block) for d in (older, newer)
                )
                assert np.all(after <= before * (1 + 1e-9))


def test_numbers_and_arrays_agree():
    together = gemm_seconds(B200, M, 4096, 4096)
    assert [gemm_seconds(B200, int(m), 4096, 4096) for m in M] == pytest.approx(list(together), rel=1e-9)
    assert isinstance(gemm_seconds(B200, 5, 4096, 4096), float)


def test_few_rows_cost_what_one_costs():
    assert gemm_seconds(H100, 0.25, 4096, 4096) == gemm_seconds(H100, 1, 4096, 4096)


def test_beyond_the_tables_utilization_is_held():
    once, twice = gemm_seconds(H100, 200_000, 8192, 8192), gemm_seconds(H100, 400_000, 8192, 8192)
    assert twice == pytest.approx(2 * once)


def test_weights_of_four_bits_are_read_faster_and_not_multiplied_faster():
    few = gemm_seconds(A100, 1, 8192, 28672) / gemm_seconds(A100, 1, 8192, 28672, weight_bits=4.25)
    many = gemm_seconds(A100, 8192, 8192, 28672) / gemm_seconds(A100, 8192, 8192, 28672, weight_bits=4.25)
    assert 2.5 < few < 4
    assert many == pytest.approx(1, abs=0.15)


def test_a_chip_without_the_engine_says_so():
    with pytest.raises(UsageError, match="no fp8 rate"):
        gemm_seconds(A100, 1, 4096, 4096, compute="fp8", weight_bits=8)


def test_a_device_made_of_numbers():
    made = Device("", "a made one", peaks={"bf16": 100e12}, bandwidth=1e12)
    assert gemm_seconds(made, 8192, 8192, 8192) > 2 * 8192**3 / 100e12
    assert gemm_spread(made) > gemm_spread(H100)


def test_what_was_not_measured_is_less_sure():
    mi300x = device_of(find("amd-mi300x"))
    assert gemm_spread(H100) < 0.1 < gemm_spread(mi300x)
    assert gemm_spread(H100, "int8") > gemm_spread(H100, "fp8")


def test_the_cells_of_a_surface():
    assert place(np.array([0.0, 1.0, 3.0]), 2.0) == (1, 0.5)
    assert place(np.array([0.0, 1.0, 3.0]), 9.0) == (1, 1.0)
    axis = np.array([0.0, 1.0, 2.0])
    values = np.add.outer(np.add.outer(axis, 10 * axis), 100 * axis)
    surface = Surface(axis, axis, axis, values)
    assert surface.at(2**0.5, 2**1.5, 2**0.25) == pytest.approx(0.5 + 15 + 25)
    assert surface.at(np.array([2**0.5]), 2**1.5, np.array([2**0.25])) == pytest.approx([40.5])


def test_a_curve_pools_what_falls():
    assert rising([1.0, 3.0, 1.0, 2.0, 5.0]) == [1.0, 2.0, 2.0, 2.0, 5.0]
    seconds = np.ones_like(KNOTS)
    seconds[3] = 4.0
    curve = Curve.of(seconds)
    assert curve(1) == pytest.approx(1)
    assert 1 < curve(float(KNOTS[3])) == curve(float(KNOTS[-1])) < 1.1


def test_carried_to_units_of_another_rate():
    e = Efficiency(3e-6, 0.6, 0.8, ramp=400.0)
    assert e.on(0.25).compute == pytest.approx(1 / (1 + (1 / 0.6 - 1) / 4))
    assert e.on(0.25).ramp == 100


def test_fast_enough():
    """Under 10 microseconds a number and 100 an array of 200, with room for slow machines."""
    gemm_seconds(B200, 300, 8192, 8192)
    rows = np.arange(1, 201)
    for argument, least in ((300, 30e-6), (rows, 300e-6)):
        best = math.inf
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(100):
                gemm_seconds(B200, argument, 8192, 8192)
            best = min(best, (time.perf_counter() - began) / 100)
        assert best < least
