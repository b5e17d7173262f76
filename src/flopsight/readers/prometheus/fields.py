"""What exporters' metrics are called, and in which unit they come.

Sources: NVIDIA DCGM field identifiers (dcgm_fields.h and its Python twin of 2026, where *_ACTIVE became *_UTIL_RATIO)
and dcgm-exporter's etc/default-counters.csv; ROCm/device-metrics-exporter docs/configuration/metricslist.md; Intel XPU
Manager 1.x prometheus exporter (its "ratios" are shares of 1, whatever their help says) and 2.x
xpumd/receiver/intelxpu/sysman/documentation.md (OpenTelemetry names).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Exporter:
    """A program that reports of devices.

    prefixes  its metrics begin with one of these
    identity  labels (lower-case) that tell devices apart, as far as they are there
    called    labels that hold the device's name, the best first
    slices    labels that hold a part of a device
    """

    name: str
    vendor: str
    prefixes: tuple[str, ...]
    identity: tuple[str, ...]
    called: tuple[str, ...]
    slices: tuple[str, ...] = ()


EXPORTERS: Final = (
    Exporter("dcgm-exporter", "nvidia", ("DCGM_FI_",), ("hostname", "uuid", "gpu", "gpu_i_id"), ("modelname",),
             ("gpu_i_profile", "gpu_i_id")),
    Exporter("XPU Manager", "intel", ("xpum_",), ("uuid", "pci_bdf", "dev_file"), ("dev_name",), ()),
    Exporter("XPU Manager", "intel", ("hw_gpu_", "hw_memory_", "hw_power_", "hw_energy_", "hw_frequency_",
                                      "hw_temperature_", "hw_errors_", "hw_status"), ("pci_bdf",), ("hw_model",), ()),
    Exporter("AMD device-metrics-exporter", "amd", ("gpu_", "pcie_"),
             ("hostname", "gpu_uuid", "serial_number", "gpu_id", "gpu_partition_id"), ("card_series", "card_model"),
             ("gpu_compute_partition_type", "gpu_partition_id")),
)  # fmt: skip

SERVERS: Final = {
    "vllm:": "vLLM", "sglang:": "SGLang", "tgi_": "TGI", "nv_": "Triton", "trtllm_": "TensorRT-LLM",
    "llamacpp:": "llama.cpp", "lmdeploy:": "LMDeploy", "ray_vllm": "vLLM in Ray",
}  # fmt: skip
"""Beginnings of server metrics, and whose they are."""

UNITS: Final[tuple[tuple[str, float, tuple[str, ...]], ...]] = (
    ("%", 1.0, (
        "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_ENC_UTIL", "DCGM_FI_DEV_DEC_UTIL",
        "gpu_gfx_activity", "gpu_umc_activity", "gpu_mma_activity", "gpu_vcn_activity", "gpu_jpeg_activity",
        "gpu_usage", "gpu_gfx_busy_instantaneous", "gpu_vcn_busy_instantaneous", "gpu_jpeg_busy_instantaneous",
        "gpu_prof_gui_util_percent", "gpu_prof_sm_active", "gpu_prof_occupancy_percent",
        "gpu_prof_tensor_active_percent", "gpu_prof_valu_pipe_issue_util",
    )),
    ("Hz", 1e6, ("DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_MEM_CLOCK", "gpu_clock", "gpu_min_clock", "gpu_max_clock",
                 "xpum_frequency_mhz")),
    ("Hz", 1.0, ("hw_frequency_hertz", "hw_frequency_request_hertz", "hw_frequency_limit_hertz")),
    ("W", 1.0, ("DCGM_FI_DEV_POWER_USAGE", "gpu_package_power", "gpu_average_package_power", "gpu_power_usage",
                "xpum_power_watts", "hw_power_watts")),
    ("J", 1e-3, ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",)),
    ("J", 1e-6, ("gpu_energy_consumed",)),
    ("J", 1.0, ("xpum_energy_joules", "xpum_energy_joules_total", "hw_energy_joules_total")),
    ("C", 1.0, ("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_MEMORY_TEMP", "gpu_edge_temperature", "gpu_junction_temperature",
                "gpu_memory_temperature", "gpu_hbm_temperature", "xpum_temperature_celsius",
                "xpum_max_temperature_celsius", "hw_temperature_celsius")),
    ("byte", 2.0**20, ("DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_TOTAL",
                       "DCGM_FI_DEV_FB_RESERVED", "gpu_total_vram", "gpu_used_vram", "gpu_free_vram")),
    # 68,702 of these are the 65,520 MiB of an MI210: these megabytes are decimal, those of gpu_*_vram are not
    ("byte", 1e6, ("gpu_total_memory", "gpu_used_memory")),
    ("byte", 1024.0, ("gpu_prof_fetch_size", "gpu_prof_write_size")),
    ("byte", 1.0, ("xpum_memory_used_bytes", "xpum_memory_read_bytes_total", "xpum_memory_write_bytes_total",
                   "hw_memory_io_bytes_total", "hw_memory_usage_bytes", "hw_memory_size_bytes",
                   "hw_gpu_io_bytes_total")),
    ("byte/s", 1e9, ("gpu_vram_max_bandwidth",)),
    ("byte/s", 1.0, ("DCGM_FI_PROF_PCIE_TX_BYTES", "DCGM_FI_PROF_PCIE_RX_BYTES", "DCGM_FI_PROF_NVLINK_TX_BYTES",
                     "DCGM_FI_PROF_NVLINK_RX_BYTES")),
    ("op", 1.0, ("gpu_prof_total_16_ops", "gpu_prof_total_32_ops", "gpu_prof_total_64_ops")),
    ("cycle", 1.0, ("gpu_prof_grbm_gui_active", "gpu_prof_grbm_count")),
)  # fmt: skip
"""Base unit, factor to it, and the metrics that come so. Every other metric is kept as it stands, without a unit."""
UNIT_OF: Final = {name: (factor, unit) for unit, factor, names in UNITS for name in names}

BLANKS: Final = {
    base + code: why
    for base in (0x7FFFFFFFFFFFFFF0, 0x7FFFFFF0, 1 << 47)
    for code, why in enumerate(("blank", "not found", "not supported", "not permitted"))
}
"""DCGM's numbers for "no value": of 64-bit, of 32-bit integers and of doubles (dcgm_structs.h, DCGM_*_BLANK)."""
AMD_BLANKS: Final = frozenset((0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF))
"""AMD SMI's numbers for "not supported"."""


def exporter_of(name: str) -> Exporter | None:
    """Which program writes a metric of this name; None for none that is known."""
    return next((one for one in EXPORTERS if name.startswith(one.prefixes)), None)


def server_of(name: str) -> str | None:
    """Which server writes a metric of this name."""
    return next((who for prefix, who in SERVERS.items() if name.startswith(prefix)), None)


def blank(name: str, text: str, value: float) -> str:
    """Why a number is none; "" where it is one."""
    if value != value or value in (float("inf"), float("-inf")):
        return f"the exporter says {text}"
    # whole numbers of 2^63 lose their last digits as doubles: texts are compared first
    exact = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else int(value)
    if name.startswith("DCGM_"):
        said = BLANKS.get(exact) or ("no value" if value >= 2.0**63 - 1024 else None)
        return f"DCGM has no value ({said})" if said else ""
    if name.startswith("gpu_") and (exact in AMD_BLANKS or value >= 1.8e19):
        return "AMD SMI has no value (not supported)"
    return ""
