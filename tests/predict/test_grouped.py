"""Grouped products: against published timings, and against what no machine can do."""

import numpy as np
import pytest

from flopsight.hardware.catalog import find
from flopsight.predict.device import device_of
from flopsight.predict.kernels.grouped import grouped_seconds, grouped_spread
from flopsight.predict.kernels.roofline import coefficients

H100, H800, B200, L40S = (
    device_of(find(name))
    for name in ("nvidia-h100-sxm5-80gb", "nvidia-h800-sxm5-80gb", "nvidia-b200-sxm", "nvidia-l40s")
)
# alibaba/InferSim f2293da, bench_data/grouped_gemm/decode/h800: groups, rows of each, microseconds of gate and up
INFERSIM = [(64, 4, 641.063), (32, 32, 325.361), (16, 16, 171.219), (64, 64, 716.349)]
ROWS = np.array([1, 2, 8, 40, 256, 1000, 8192, 65536, 400000])


def visited(experts, rows):
    return np.minimum(experts, rows)


@pytest.mark.parametrize(("groups", "each", "us"), INFERSIM)
def test_published_experts_that_wait_for_memory(groups, each, us):
    seconds = grouped_seconds(H800, groups * each, groups, 4096, 7168, compute="fp8", weight_bits=8, block=True)
    assert seconds * 1e6 == pytest.approx(us, rel=0.3)


def test_layers_left_out_are_within_the_target():
    errors = coefficients("grouped")["error"]
    medians = sorted(found["layers left out"]["median"] for found in errors.values())
    assert medians[len(medians) // 2] < 0.08


@pytest.mark.parametrize("device", [H100, B200, L40S], ids=lambda d: d.id)
def test_never_beyond_light_speed(device):
    for compute, bits, block in (("bf16", 16.0, False), ("fp8", 8.0, True)):
        for n, k, experts in ((4096, 7168, 256), (28672, 4096, 8), (1536, 2048, 128)):
            hit = visited(experts, ROWS)
            seconds = grouped_seconds(device, ROWS, hit, n, k, compute=compute, weight_bits=bits, block=block)
            assert np.all(seconds >= 0.999 * hit * n * k * bits / 8 / device.bandwidth)
            assert np.all(seconds >= 0.999 * 2 * ROWS * n * k / (1.1 * device.rate(compute)))


def test_a_newer_chip_is_never_slower():
    for n, k, experts in ((4096, 7168, 256), (28672, 4096, 8), (1536, 2048, 128), (256, 4096, 8)):
        form = {"compute": "fp8", "weight_bits": 8.0, "block": True}
        before, after = (grouped_seconds(d, ROWS, visited(experts, ROWS), n, k, **form) for d in (H100, B200))
        assert np.all(after <= before)


def test_numbers_and_arrays_agree():
    together = grouped_seconds(B200, ROWS, visited(64, ROWS), 4096, 7168)
    alone = [grouped_seconds(B200, int(r), min(64, int(r)), 4096, 7168) for r in ROWS]
    assert alone == pytest.approx(list(together))
    assert isinstance(alone[0], float)


def test_experts_cost_more_when_more_are_read():
    few, many = (grouped_seconds(H100, 256, hit, 4096, 7168) for hit in (16, 128))
    assert many > 3 * few


def test_what_was_not_measured_is_less_sure():
    assert grouped_spread(H100, "fp8", 8, True) < grouped_spread(device_of(find("amd-mi300x")))
