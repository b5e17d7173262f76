"""Which metrics of exporters say how long a part of a device worked, and what that is worth.

Sources: NVIDIA DCGM user guide, "Profiling metrics", and dcgm_fields.h (names of 2026 beside those before); NVML
nvmlGpmMetricId_t; ROCm/device-metrics-exporter docs/configuration/metricslist.md; Intel XPU Manager 1.x and 2.x.
NVIDIA/DCGM issues 86 and 252 (FP8 has no counter of its own), 164 (a share of time is no count of FLOPs), 152 (above
100 % on MIG slices).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WARPS: Final = "a warp that waits for memory keeps it active too"
STALLS: Final = "cycles count as active whether the pipe is full or not, so FLOPs are at most this share of the peak"
TENSOR: Final = f"{STALLS}; number formats are not told apart"
HALF: Final = f"{STALLS}; fp16, bf16 and tf32 run on it, and fp8 where there is no counter of its own"
BUS: Final = "shares are of the interface's cycles, of which transfers cannot use all"
RAN: Final = "something ran, however little of the device it used"


@dataclass(frozen=True, slots=True)
class Share:
    """Metrics of one meaning.

    witness  who says it, and of what
    names    new and old, the same field
    engine   "matrix", "vector", or "" for what is neither
    dtype    number format where the counter tells it
    whole    value that means all of the time
    where    labels that must have these values
    """

    witness: str
    names: tuple[str, ...]
    engine: str
    dtype: str
    whole: float
    why: str
    where: tuple[tuple[str, str], ...] = ()


SHARES: Final = (
    Share("DCGM: compute engine", ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO"), "", "", 1.0,
          RAN),
    Share("DCGM: SMs", ("DCGM_FI_PROF_SM_ACTIVE", "DCGM_FI_PROF_SM_UTIL_RATIO"), "", "", 1.0, WARPS),
    Share("DCGM: tensor cores", ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_TENSOR_UTIL_RATIO"), "matrix", "",
          1.0, TENSOR),
    Share("DCGM: tensor cores, HMMA",
          ("DCGM_FI_PROF_PIPE_TENSOR_HMMA_ACTIVE", "DCGM_FI_PROF_HMMA_UTIL_RATIO"), "matrix", "", 1.0, HALF),
    Share("DCGM: tensor cores, IMMA",
          ("DCGM_FI_PROF_PIPE_TENSOR_IMMA_ACTIVE", "DCGM_FI_PROF_IMMA_UTIL_RATIO"), "matrix", "int8", 1.0, STALLS),
    Share("DCGM: tensor cores, DFMA",
          ("DCGM_FI_PROF_PIPE_TENSOR_DFMA_ACTIVE", "DCGM_FI_PROF_DFMA_UTIL_RATIO"), "matrix", "fp64", 1.0, STALLS),
    Share("DCGM: FP64 pipes", ("DCGM_FI_PROF_PIPE_FP64_ACTIVE", "DCGM_FI_PROF_FP64_UTIL_RATIO"), "vector", "fp64", 1.0,
          STALLS),
    Share("DCGM: FP32 pipes", ("DCGM_FI_PROF_PIPE_FP32_ACTIVE", "DCGM_FI_PROF_FP32_UTIL_RATIO"), "vector", "fp32", 1.0,
          STALLS),
    Share("DCGM: FP16 pipes", ("DCGM_FI_PROF_PIPE_FP16_ACTIVE", "DCGM_FI_PROF_FP16_UTIL_RATIO"), "vector", "fp16", 1.0,
          f"{STALLS}; tensor cores are not in it"),
    Share("DCGM: DRAM interface", ("DCGM_FI_PROF_DRAM_ACTIVE", "DCGM_FI_PROF_DRAM_UTIL_RATIO"), "", "", 1.0, BUS),
    Share("NVML GPM: compute engine", ("NVML_GPM_METRIC_GRAPHICS_UTIL",), "", "", 100.0, RAN),
    Share("NVML GPM: SMs", ("NVML_GPM_METRIC_SM_UTIL",), "", "", 100.0, WARPS),
    Share("NVML GPM: tensor cores", ("NVML_GPM_METRIC_ANY_TENSOR_UTIL",), "matrix", "", 100.0, TENSOR),
    Share("NVML GPM: tensor cores, HMMA", ("NVML_GPM_METRIC_HMMA_TENSOR_UTIL",), "matrix", "", 100.0, HALF),
    Share("NVML GPM: tensor cores, IMMA", ("NVML_GPM_METRIC_IMMA_TENSOR_UTIL",), "matrix", "int8", 100.0, STALLS),
    Share("NVML GPM: tensor cores, DFMA", ("NVML_GPM_METRIC_DFMA_TENSOR_UTIL",), "matrix", "fp64", 100.0, STALLS),
    Share("NVML GPM: FP64 pipes", ("NVML_GPM_METRIC_FP64_UTIL",), "vector", "fp64", 100.0, STALLS),
    Share("NVML GPM: FP32 pipes", ("NVML_GPM_METRIC_FP32_UTIL",), "vector", "fp32", 100.0, STALLS),
    Share("NVML GPM: FP16 pipes", ("NVML_GPM_METRIC_FP16_UTIL",), "vector", "fp16", 100.0, STALLS),
    Share("NVML GPM: DRAM interface", ("NVML_GPM_METRIC_DRAM_BW_UTIL",), "", "", 100.0, BUS),
    Share("AMD exporter: matrix cores", ("gpu_prof_tensor_active_percent",), "matrix", "", 100.0, TENSOR),
    Share("AMD exporter: vector units", ("gpu_prof_sm_active",), "vector", "", 100.0,
          f"{STALLS}; on Radeon it is always 0"),
    Share("AMD exporter: GPU", ("gpu_prof_gui_util_percent",), "", "", 100.0, RAN),
    Share("XPU Manager: vector engines", ("xpum_eu_active_ratio",), "vector", "", 1.0, STALLS),
    Share("XPU Manager: memory", ("xpum_memory_bandwidth_ratio", "hw_memory_bandwidth_utilization_ratio"), "", "", 1.0,
          BUS),
    Share("XPU Manager: compute engines", ("xpum_engine_group_ratio",), "", "", 1.0, RAN, (("type", "compute"),)),
)  # fmt: skip
AT_MOST: Final = 1.0 + 1e-9
EXCEEDED: Final = "it is above 100 %, as DCGM relates a slice's counters to another size of device; it is no share"
EVERY: Final = {name: share for share in SHARES for name in share.names}
