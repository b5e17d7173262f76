"""Active shares from exporters: the values of real pages, and what they are not."""

import math

import pytest

from flopsight.readers import read
from flopsight.witness import hear
from flopsight.witness.exporter_fields import EVERY, SHARES
from tests.readers.places import kept

LABELS = 'gpu="0",UUID="GPU-0",modelName="NVIDIA H100 80GB HBM3",Hostname="node"'


def heard(tmp_path, *lines):
    path = tmp_path / "page.prom"
    path.write_text("\n".join(lines) + "\n")
    (trace,) = read(path)
    return hear.testimonies(trace)


def test_a_busy_t4():
    (trace,) = read(kept("prometheus/t4_busy.prom"))
    found = {one.witness: one for one in hear.testimonies(trace)}
    assert {who: one.total for who, one in found.items()} == {
        "DCGM: compute engine": 0.156205, "DCGM: tensor cores": 0.005822, "DCGM: DRAM interface": 0.092781,
    }  # fmt: skip
    assert all((one.quantity, one.trust, one.over) == ("active", "upper bound", "run") for one in found.values())
    assert all(one.why for one in found.values())
    assert found["DCGM: tensor cores"].engine == "matrix"
    assert dict(found["DCGM: tensor cores"].labels)["gpu"] == "0"


def test_utilization_of_the_driver_is_no_witness():
    for name in (
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_MEM_COPY_UTIL",
        "gpu_gfx_activity",
        "gpu_umc_activity",
        "gpu_usage",
    ):
        assert name not in EVERY


ALIASES = {
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO",
    "DCGM_FI_PROF_SM_ACTIVE": "DCGM_FI_PROF_SM_UTIL_RATIO",
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": "DCGM_FI_PROF_TENSOR_UTIL_RATIO",
    "DCGM_FI_PROF_DRAM_ACTIVE": "DCGM_FI_PROF_DRAM_UTIL_RATIO",
    "DCGM_FI_PROF_PIPE_FP64_ACTIVE": "DCGM_FI_PROF_FP64_UTIL_RATIO",
    "DCGM_FI_PROF_PIPE_FP32_ACTIVE": "DCGM_FI_PROF_FP32_UTIL_RATIO",
    "DCGM_FI_PROF_PIPE_FP16_ACTIVE": "DCGM_FI_PROF_FP16_UTIL_RATIO",
    "DCGM_FI_PROF_PIPE_TENSOR_IMMA_ACTIVE": "DCGM_FI_PROF_IMMA_UTIL_RATIO",
    "DCGM_FI_PROF_PIPE_TENSOR_HMMA_ACTIVE": "DCGM_FI_PROF_HMMA_UTIL_RATIO",
    "DCGM_FI_PROF_PIPE_TENSOR_DFMA_ACTIVE": "DCGM_FI_PROF_DFMA_UTIL_RATIO",
}
"""Field identifiers 1001 to 1015 of DCGM before and since 2026 (dcgm_fields.h keeps the old ones as aliases)."""


@pytest.mark.parametrize("old", ALIASES)
def test_old_and_new_names_are_one(old):
    assert EVERY[old] is EVERY[ALIASES[old]]


def test_half_precision_matrix_work_is_not_told_apart(tmp_path):
    (one,) = heard(tmp_path, f"DCGM_FI_PROF_HMMA_UTIL_RATIO{{{LABELS}}} 0.5")
    assert one.dtype == ""
    assert "fp8" in one.why
    (one,) = heard(tmp_path, f"DCGM_FI_PROF_IMMA_UTIL_RATIO{{{LABELS}}} 0.5")
    assert one.dtype == "int8"


def test_per_cents_become_shares(tmp_path):
    found = heard(
        tmp_path, 'gpu_prof_tensor_active_percent{gpu_id="0",card_model="AMD Instinct MI300X"} 46',
        'xpum_eu_active_ratio{uuid="u"} 0.25', 'xpum_engine_group_ratio{uuid="u",type="copy"} 0.75',
    )  # fmt: skip
    assert {one.witness: one.total for one in found} == {
        "AMD exporter: matrix cores": 0.46, "XPU Manager: vector engines": 0.25,
    }  # fmt: skip
    assert {s.whole for s in SHARES if s.witness.startswith("NVML GPM")} == {100.0}


def test_blank_is_unknown(tmp_path):
    (one,) = heard(tmp_path, f"DCGM_FI_PROF_SM_ACTIVE{{{LABELS}}} 9223372036854775794")
    assert one.total is None
    assert math.isnan(one.values[0])
    assert "not supported" in one.why


def test_the_mean_over_time(tmp_path):
    name = f"DCGM_FI_PROF_SM_ACTIVE{{{LABELS}}}"
    (one,) = heard(tmp_path, f"{name} 0.25 1000", f"{name} 0.75 2000", f"{name} 9223372036854775794 3000")
    assert one.total == 0.5
    assert "unknown in part" in one.why


def test_above_everything_is_said(tmp_path):
    """NVIDIA/DCGM#152: 130 % on a slice."""
    (one,) = heard(tmp_path, f'DCGM_FI_PROF_SM_ACTIVE{{{LABELS},GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"}} 1.3')
    assert "above 100 %" in one.why
    assert dict(one.labels)["GPU_I_PROFILE"] == "1g.10gb"
