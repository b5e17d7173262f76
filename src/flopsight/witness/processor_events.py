"""Which events of processors count floating-point operations and traffic of memory, and with which weight.

Names are as `plain` makes them: lower-case, dots as underscores, without the unit that counts and without modifiers, so
that perf's "cpu_core/fp_arith_inst_retired.128b_packed_single/u" and likwid's
"FP_ARITH_INST_RETIRED_128B_PACKED_SINGLE" are one.

Sources: intel/perfmon, metrics of SKX to GNR (FLOPs of each width; 64 bytes a CAS command); Linux
tools/perf/pmu-events/arch/x86/amdzen1..5/floating-point.json (multiply-accumulates count as 2 there); likwid
groups/{SPR,zen..zen5,arm64fx,nvidia_grace}; Arm Architecture Reference Manual DDI 0487, FP_SCALE_OPS_SPEC (operations
by 128 bits of vector); PAPI preset events.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flopsight.witness.testimony import Quantity, Trust

PMU: Final = re.compile(r"^([\w.-]+)/([^/]*)/(\w*)$")
SUFFIX: Final = re.compile(r" \[[^\]]*\]$")
MODIFIERS: Final = re.compile(r":[a-zA-Z]+$")


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    name    as `plain` makes it
    weight  operations or bytes of one count
    dtype   number format; "" where the event does not tell it
    parts   events of which this one is the sum: it is used where one of them is missing, else they are
    """

    name: str
    weight: float
    dtype: str = ""
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """Events that together give one quantity.

    witness  who says it
    trust    how far, where nothing is missing or scaled; `why` says of what
    unless   families that, where they speak, make this one silent
    """

    witness: str
    events: tuple[Event, ...]
    quantity: Quantity = "flops"
    trust: Trust = "exact"
    why: str = ""
    unless: tuple[str, ...] = ()
    expected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def plain(name: str) -> str:
    """An event's name without its unit, modifiers and the tools' ways of writing it."""
    name = SUFFIX.sub("", name.strip()[:200])
    inside = PMU.match(name)
    name = MODIFIERS.sub("", inside[2] if inside is not None else name)
    return name.lower().replace(".", "_")


ARITH, ARITH2 = "fp_arith_inst_retired_", "fp_arith_inst_retired2_"
INTEL_FP32: Final = ("scalar_single", "128b_packed_single", "256b_packed_single", "512b_packed_single")
INTEL_FP64: Final = ("scalar_double", "128b_packed_double", "256b_packed_double", "512b_packed_double")
INTEL: Final = Family(
    "Intel FP_ARITH_INST_RETIRED counters",
    (
        *(Event(ARITH + name, lanes, "fp32") for name, lanes in zip(INTEL_FP32, (1, 4, 8, 16), strict=True)),
        *(Event(ARITH + name, lanes, "fp64") for name, lanes in zip(INTEL_FP64, (1, 2, 4, 8), strict=True)),
        *(Event(ARITH2 + name, lanes, "fp16") for name, lanes in (
            ("scalar_half", 1), ("128b_packed_half", 8), ("256b_packed_half", 16), ("512b_packed_half", 32),
        )),
        Event(ARITH + "scalar", 1, "", (ARITH + "scalar_single", ARITH + "scalar_double")),
        Event(ARITH + "4_flops", 4, "", (ARITH + "128b_packed_single", ARITH + "256b_packed_double")),
        Event(ARITH + "8_flops", 8, "", (ARITH + "256b_packed_single", ARITH + "512b_packed_double")),
    ),
    trust="approximate",
    why="lanes switched off by a mask are counted as work, and AMX tiles are not counted: matrix products in bf16, "
        "fp16 and int8 on AMX are missing here",
    expected={"fp32": tuple(ARITH + name for name in INTEL_FP32), "fp64": tuple(ARITH + name for name in INTEL_FP64)},
)  # fmt: skip
"""A fused multiply-add increments these counters twice, so a count by lanes is a FLOP."""

AMD_KINDS: Final = (
    ("scalar_single_flops", "sp_scalar", "fp32"), ("packed_single_flops", "sp_packed", "fp32"),
    ("scalar_double_flops", "dp_scalar", "fp64"), ("packed_double_flops", "dp_packed", "fp64"),
    ("bfloat16_flops", "bf16", "bf16"),
)  # fmt: skip
AMD: Final = Family(
    "AMD retired SSE and AVX FLOPs",
    (
        *(Event("fp_ret_sse_avx_ops_" + perf, 1, dtype) for perf, _, dtype in AMD_KINDS),
        *(Event("retired_sse_avx_flops_all_" + likwid, 1, dtype) for _, likwid, dtype in AMD_KINDS),
        Event("retired_sse_avx_flops_single_all", 1, "fp32"), Event("retired_sse_avx_flops_double_all", 1, "fp64"),
        Event("fp_ret_sse_avx_ops_all", 1, "", tuple("fp_ret_sse_avx_ops_" + perf for perf, _, _ in AMD_KINDS)),
        Event("retired_sse_avx_flops_all", 1, "", tuple("retired_sse_avx_flops_all_" + x for _, x, _ in AMD_KINDS)),
        Event("retired_sse_avx_flops_all_any", 1, "", tuple("retired_sse_avx_flops_all_" + x for _, x, _ in AMD_KINDS)),
    ),
)  # fmt: skip
AMD_OPERATIONS: Final = tuple(
    Event(f"fp_ret_sse_avx_ops_{kind}{name}", 1, dtype)
    for kind, dtype in (("", ""), ("sp_", "fp32"), ("dp_", "fp64"))
    for name in ("add_sub_flops", "mult_flops", "div_flops", "mac_flops", "mult_add_flops")
)
AMD_BY_OPERATION: Final = Family(
    "AMD retired SSE and AVX FLOPs by operation",
    (*AMD_OPERATIONS, Event("fp_ret_sse_avx_ops_bfloat_mac_flops", 1, "bf16")),
    unless=(AMD.witness,),
    expected={"": tuple(event.name for event in AMD_OPERATIONS[:4])},
)

ARM: Final = Family(
    "Arm FP_FIXED_OPS_SPEC and FP_SCALE_OPS_SPEC",
    (Event("fp_fixed_ops_spec", 1), Event("fp_scale_ops_spec", 1)),
    trust="approximate",
    why="operations are counted when they are issued, also those of a wrong branch; FP_SCALE_OPS_SPEC counts by 128 "
        "bits and is taken once, which is right for SVE vectors of 128 bits (Grace, Neoverse V2 and N2) and too little "
        "for longer ones (twice for Neoverse V1, four times for A64FX)",
    expected={"": ("fp_fixed_ops_spec", "fp_scale_ops_spec")},
)  # fmt: skip
ARM_BY_TYPE: Final = Family(
    ARM.witness + " by number format",
    tuple(
        Event(f"fp_{kind}_{form}_ops_spec", 1, dtype)
        for kind, dtype in (("hp", "fp16"), ("sp", "fp32"), ("dp", "fp64")) for form in ("fixed", "scale")
    ),
    trust="approximate", why=ARM.why, unless=(ARM.witness,),
    expected={dtype: (f"fp_{kind}_fixed_ops_spec", f"fp_{kind}_scale_ops_spec")
              for kind, dtype in (("hp", "fp16"), ("sp", "fp32"), ("dp", "fp64"))},
)  # fmt: skip

PAPI: Final = Family(
    "PAPI presets by number format",
    (Event("papi_sp_ops", 1, "fp32"), Event("papi_dp_ops", 1, "fp64")),
    trust="approximate", why="PAPI derives them from native events that differ by processor (see papi_avail -e)",
)  # fmt: skip
PAPI_ALL: Final = Family(
    "PAPI_FP_OPS", (Event("papi_fp_ops", 1),), trust="approximate",
    why="PAPI derives it from native events that differ by processor; on some a fused multiply-add or a vector is one",
    unless=(PAPI.witness,),
)  # fmt: skip

READS: Final = Family(
    "memory controllers of the processor",
    (
        *(Event(name, 64) for name in (
            "cas_count_read", "cas_count_rd", "unc_m_cas_count_rd", "unc_m_cas_count_sch0_rd",
            "unc_m_cas_count_sch1_rd", "umc_cas_cmd_rd", "cas_cmd_rd", "data_reads", "data_read",
        )),
        Event("cmem_rd_data", 32),
    ),
    quantity="dram_read", trust="upper bound",
    why="memory controllers count for their whole socket: what other programs read is in it",
)  # fmt: skip
WRITES: Final = Family(
    "memory controllers of the processor",
    (
        *(Event(name, 64) for name in (
            "cas_count_write", "cas_count_wr", "unc_m_cas_count_wr", "unc_m_cas_count_sch0_wr",
            "unc_m_cas_count_sch1_wr", "umc_cas_cmd_wr", "cas_cmd_wr", "data_writes", "data_write",
        )),
        Event("cmem_wr_total_bytes", 1),
    ),
    quantity="dram_written", trust="upper bound",
    why="memory controllers count for their whole socket: what other programs wrote is in it",
)  # fmt: skip

FAMILIES: Final = (INTEL, AMD, AMD_BY_OPERATION, ARM, ARM_BY_TYPE, PAPI, PAPI_ALL, READS, WRITES)
INSTRUCTIONS: Final = {
    "ex_ret_mmx_fp_instr": "it counts instructions of every width, not operations; collect fp_ret_sse_avx_ops.all",
    "retired_mmx_fp_instr": "it counts instructions of every width, not operations; collect RETIRED_SSE_AVX_FLOPS_ALL",
    "fp_arith_inst_retired_vector": "it counts instructions of every width; collect 128b_packed_* to 512b_packed_*",
    "papi_fp_ins": "it counts instructions, not operations; collect PAPI_SP_OPS and PAPI_DP_OPS",
}  # fmt: skip
"""Events whose names promise FLOPs, and why they give none."""
