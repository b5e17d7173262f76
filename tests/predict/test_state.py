"""Recurrent mixers against what others measured, and against light speed."""

import math

import numpy as np
import pytest

from flopsight.hardware.catalog import chips, find
from flopsight.parts.gated_delta import GatedDelta
from flopsight.predict.device import device_of
from flopsight.predict.kernels.roofline import coefficients
from flopsight.predict.kernels.state import state_seconds, state_spread
from flopsight.predict.tasks import Other
from flopsight.workload import Work

H100, B200, L40S, TPU = (
    device_of(find(name)) for name in ("nvidia-h100-sxm5-80gb", "nvidia-b200-sxm", "nvidia-l40s", "google-tpu-v5p")
)


def amounts(heads, sequences, queries, past):
    """Of a gated delta rule of 128 by 128 states, as the ledger counts it."""
    part = Other(GatedDelta(heads, 128, 128), 1.0, "bf16", 16.0, 16.0)
    a = part.amounts(Work(sequences, queries, past=past, absorbed=past > 0))
    return {"tokens": sequences * queries, "flops": a.flops, "state_bytes": a.cache, "other_bytes": a.other}


@pytest.mark.parametrize(
    ("device", "heads", "sequences", "queries", "milliseconds"),
    [
        (H100, 32, 1, 8192, 0.5035),
        (H100, 32, 8, 2048, 0.4772),
        (H100, 32, 64, 1, 0.0830),
        (H100, 32, 512, 1, 0.6285),
        (B200, 32, 1, 8192, 0.4185),
        (B200, 32, 8, 2048, 0.3970),
        (B200, 32, 64, 1, 0.0439),
        (B200, 32, 512, 1, 0.3031),
        (L40S, 32, 1, 8192, 1.9626),
        (L40S, 32, 8, 2048, 4.0346),
        (L40S, 32, 64, 1, 0.3528),
        (L40S, 32, 512, 1, 2.7941),
    ],
)
def test_times_as_measured(device, heads, sequences, queries, milliseconds):
    """aiconfigurator-core 0.12.0, gdn_perf: geometric mean of the two fastest engines; within 25 %."""
    found = float(state_seconds(device, **amounts(heads, sequences, queries, 0 if queries > 1 else 1))) * 1e3
    assert abs(math.log(found / milliseconds)) < math.log(1.25)


def test_errors_of_what_was_left_out():
    """Shapes left out: half within 8 %; chips of a family left out: within 25 %."""
    data = coefficients("state")
    for name, (median, *_) in data["error"].items():
        assert median < (0.09 if "a100" in name else 0.06), name
    for name, (median, *_) in data["error_of_chips_left_out"].items():
        if name.endswith(("Hopper", "Blackwell")):
            assert median < 0.25, name


@pytest.mark.parametrize("device", [H100, B200, L40S, TPU], ids=lambda d: d.id)
def test_never_faster_than_light(device):
    for sequences, queries in ((1, 32768), (256, 1), (1024, 1), (32, 2048)):
        a = amounts(32, sequences, queries, int(queries == 1))
        found = state_seconds(device, **a)
        assert found >= a["flops"] / device.rate("bf16")
        assert found >= (a["state_bytes"] + a["other_bytes"] - 3 * device.l2) / device.bandwidth


def test_nothing_to_do_takes_no_time():
    assert state_seconds(H100, tokens=0, flops=0.0, state_bytes=1.0, other_bytes=1.0) == 0


def test_every_accelerator_has_a_time():
    for chip in chips():
        if chip.record.memory.bandwidth:
            device = device_of(chip)
            if "bf16" in device.peaks:
                assert 0 < state_seconds(device, **amounts(32, 8, 1, 1)) < 1
                assert 0.02 < state_spread(device) < 2.5


def test_arrays_agree_with_numbers():
    sequences = np.array([1.0, 8.0, 64.0, 512.0])
    at_once = state_seconds(H100, **amounts(32, sequences, 1, 1))
    assert np.allclose(at_once, [state_seconds(H100, **amounts(32, float(b), 1, 1)) for b in sequences], rtol=1e-9)
