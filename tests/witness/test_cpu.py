"""FLOPs and bytes from counters of processors, against hand sums, likwid's own formulas and an instruction mix."""

import json
import math

import pytest

from flopsight.readers import read
from flopsight.readers.find import head_of
from flopsight.readers.limits import Limits
from flopsight.witness import hear
from flopsight.witness.processor_events import FAMILIES, plain
from tests.readers import likwid_tables
from tests.readers.places import kept
from tests.readers.test_intel import ADVISOR
from tests.readers.test_papi import NEW, OLD


def heard(tmp_path, text, name="counters"):
    path = tmp_path / name
    path.write_text(text)
    assert head_of(path, Limits()).text
    (trace,) = read(path)
    return hear.testimonies(trace)


def perf(events, running=100.0, unit=""):
    return "".join(
        f'{{"counter-value" : "{count}", "unit" : "{unit}", "event" : "{event}", "event-runtime" : 1, '
        f'"pcnt-running" : {running:.2f}}}\n' for event, count in events.items()
    )  # fmt: skip


def said(found, quantity="flops"):
    return {one.dtype: one for one in found if one.quantity == quantity}


INTEL = {
    "scalar_single": 1, "128b_packed_single": 4, "256b_packed_single": 8, "512b_packed_single": 16,
    "scalar_double": 1, "128b_packed_double": 2, "256b_packed_double": 4, "512b_packed_double": 8,
}  # fmt: skip
"""Elements of a register: 128, 256 and 512 bits over 32 and 64."""


def test_intel_widths(tmp_path):
    """An AVX-512 GEMM of 2 * M * N * K FLOPs: M * N * K / 16 fused instructions, each counted twice."""
    m, n, k = 64, 48, 32
    counts = {f"fp_arith_inst_retired.{name}": 0 for name in INTEL}
    counts["fp_arith_inst_retired.512b_packed_single"] = 2 * m * n * k // 16
    found = said(heard(tmp_path, perf(counts)))
    assert (found["fp32"].total, found["fp64"].total) == (2 * m * n * k, 0)
    assert (found["fp32"].trust, found["fp32"].engine, found["fp32"].over) == ("approximate", "vector", "run")
    assert "AMX" in found["fp32"].why
    assert "not collected" not in found["fp32"].why


@pytest.mark.parametrize("name", INTEL)
def test_intel_weights(tmp_path, name):
    (one,) = heard(tmp_path, perf({f"cpu_core/fp_arith_inst_retired.{name}/u": 1000}))
    assert one.total == 1000 * INTEL[name]
    assert one.dtype == ("fp32" if "single" in name else "fp64")
    assert one.why.count("fp_arith_inst_retired_") == 3


def test_intel_half(tmp_path):
    counts = {f"FP_ARITH_INST_RETIRED2.{n}": 10 for n in ("SCALAR_HALF", "128B_PACKED_HALF", "512B_PACKED_HALF")}
    assert said(heard(tmp_path, perf(counts)))["fp16"].total == 10 * (1 + 8 + 32)


def test_intel_sums_of_widths(tmp_path):
    """perfmon's GFLOPs of Sapphire Rapids: SCALAR + 2 * 128B_PD + 4 * 4_FLOPS + 8 * 8_FLOPS + 16 * 512B_PS."""
    events = {"scalar": 1, "128b_packed_double": 2, "4_flops": 4, "8_flops": 8, "512b_packed_single": 16}
    counts = {f"fp_arith_inst_retired.{name}": 7 for name in events}
    (one,) = heard(tmp_path, perf(counts))
    assert one.dtype == ""
    assert one.total == 7 * sum(events.values())
    # where all parts of a sum were collected too, nothing is counted twice
    parts = {f"fp_arith_inst_retired.{name}": 5 for name in ("scalar", "scalar_single", "scalar_double")}
    assert sum(x.total for x in heard(tmp_path, perf(parts))) == 10
    half = {f"fp_arith_inst_retired.{name}": 5 for name in ("scalar", "scalar_single")}
    assert sum(x.total for x in heard(tmp_path, perf(half))) == 5


def test_amd(tmp_path):
    (one,) = heard(tmp_path, perf({"fp_ret_sse_avx_ops.all": 46405704032, "fp_ret_sse_avx_ops.mac_flops": 1367253}))
    assert (one.total, one.trust, one.dtype, one.why) == (46405704032, "exact", "", "")
    (one,) = heard(tmp_path, perf({"fp_ret_sse_avx_ops.mac_flops": 200, "fp_ret_sse_avx_ops.mult_flops": 30}))
    assert (one.total, one.trust) == (230, "approximate")
    assert "add_sub_flops" in one.why


def test_zen_5_by_kind(tmp_path):
    kinds = ("scalar_single", "packed_single", "scalar_double", "packed_double", "bfloat16")
    counts = {f"fp_ret_sse_avx_ops.{kind}_flops": 10**i for i, kind in enumerate(kinds)}
    found = said(heard(tmp_path, perf({**counts, "fp_ret_sse_avx_ops.all": 11111})))
    assert {dtype: one.total for dtype, one in found.items()} == {"fp32": 11, "fp64": 1100, "bf16": 10000}


def test_arm(tmp_path):
    (one,) = heard(tmp_path, perf({"fp_fixed_ops_spec": 100, "fp_scale_ops_spec": 23}))
    assert (one.total, one.trust) == (123, "approximate")
    assert "Neoverse V1" in one.why
    found = said(
        heard(tmp_path, perf({"FP_DP_FIXED_OPS_SPEC": 5, "FP_DP_SCALE_OPS_SPEC": 6, "FP_SP_FIXED_OPS_SPEC": 7}))
    )
    assert (found["fp64"].total, found["fp32"].total) == (11, 7)
    assert "fp_sp_scale_ops_spec" in found["fp32"].why


def test_likwid_counts_and_its_own_formula(tmp_path):
    (one,) = heard(tmp_path, likwid_tables.as_csv())
    assert one.total == likwid_tables.FLOPS
    assert one.labels == (("group", "FLOPS_SP"),)
    # without events that are known here, likwid's metric is taken: the same number, as its formula is the same
    unknown = {name.replace("FP_ARITH", "NEW"): value for name, value in likwid_tables.EVENTS.items()}
    (other,) = heard(tmp_path, likwid_tables.as_text(events=unknown))
    assert other.total == pytest.approx(likwid_tables.FLOPS)
    assert (other.witness, other.dtype, other.trust) == ("likwid's group", "fp32", "approximate")


def test_likwid_regions_stay_apart(tmp_path):
    found = heard(tmp_path, likwid_tables.as_csv(region="a") + likwid_tables.as_csv(region="b"))
    assert [dict(one.labels)["region"] for one in found] == ["a", "b"]


def test_papi(tmp_path):
    found = said(heard(tmp_path, json.dumps(NEW)))
    # the inner region "gemm" is part of "step"
    assert found["fp32"].total == 300 + 100
    assert found["fp64"].total == 40
    assert "'x'" in found["fp64"].why
    (one,) = heard(tmp_path, json.dumps(OLD))
    assert (one.witness, one.total, one.trust) == ("PAPI_FP_OPS", 64, "approximate")


def test_memory_controllers(tmp_path):
    """64 bytes a CAS command; perf prints some counters as MiB already."""
    raw = {f"uncore_imc_{i}/cas_count_read/": 1000 for i in range(8)} | {"unc_m_cas_count.wr": 30}
    found = heard(tmp_path, perf(raw))
    assert said(found, "dram_read")[""].total == 8 * 1000 * 64
    assert said(found, "dram_written")[""].total == 30 * 64
    assert said(found, "dram_read")[""].trust == "upper bound"
    scaled = heard(tmp_path, perf({"uncore_imc_0/cas_count_read/": 2.5}, unit="MiB"))
    assert said(scaled, "dram_read")[""].total == 2.5 * 2**20
    grace = heard(tmp_path, perf({"nvidia_scf_pmu_0/cmem_rd_data/": 4, "nvidia_scf_pmu_0/cmem_wr_total_bytes/": 77}))
    assert (said(grace, "dram_read")[""].total, said(grace, "dram_written")[""].total) == (128, 77)


def test_likwid_memory(tmp_path):
    found = heard(tmp_path, likwid_tables.as_csv("MEM", likwid_tables.MEMORY, likwid_tables.VOLUMES))
    assert said(found, "dram_read")[""].total == 64000
    assert said(found, "dram_written")[""].total == 32000
    assert "likwid says -" in said(found, "dram_written")[""].why
    unknown = {"NEW_RD": ("X", (1, 2))}
    found = heard(tmp_path, likwid_tables.as_csv("MEM", unknown, likwid_tables.VOLUMES))
    assert said(found, "dram_read")[""].total == pytest.approx(64000)


def test_not_supported_is_unknown(tmp_path):
    (one,) = heard(tmp_path, perf({"fp_ret_sse_avx_ops.all": "<not supported>"}))
    assert one.total is None
    assert math.isnan(one.values[0])
    assert "<not supported>" in one.why


def test_one_known_core_of_two(tmp_path):
    """A hybrid processor whose program ran on one kind of core."""
    event = "fp_arith_inst_retired.scalar_single"
    (one,) = heard(tmp_path, perf({f"cpu_core/{event}/": 5, f"cpu_atom/{event}/": "<not counted>"}))
    assert one.total == 5
    assert "cpu_atom" in one.why


def test_a_machine_without_counters_says_nothing(tmp_path):
    (trace,) = read(kept("perf/kvm_zen5_no_pmu_perf6.1.jsonl"))
    assert hear.testimonies(trace) == ()


def test_counters_that_took_turns(tmp_path):
    (one,) = heard(tmp_path, perf({"fp_ret_sse_avx_ops.all": 100}, running=37.5))
    assert (one.total, one.trust) == (100, "approximate")
    assert "37.5 %" in one.why


@pytest.mark.parametrize(("event", "instead"), [
    ("ex_ret_mmx_fp_instr.sse_instr", "fp_ret_sse_avx_ops.all"), ("fp_arith_inst_retired.vector", "128b_packed"),
])  # fmt: skip
def test_instructions_are_no_operations(tmp_path, event, instead):
    (one,) = heard(tmp_path, perf({event: 1000}))
    assert one.total is None
    assert instead in one.why


def test_privilege_levels(tmp_path):
    (both,) = heard(tmp_path, perf({"fp_ret_sse_avx_ops.all": 10, "fp_ret_sse_avx_ops.all:u": 4}))
    assert both.total == 10
    (split,) = heard(tmp_path, perf({"fp_ret_sse_avx_ops.all:k": 1, "fp_ret_sse_avx_ops.all:u": 4}))
    assert split.total == 5


def test_runs_stay_apart(tmp_path):
    found = heard(tmp_path, perf({"fp_ret_sse_avx_ops.all": 10}) + perf({"fp_ret_sse_avx_ops.all": 20}))
    assert [(one.total, one.labels) for one in found] == [(10, ()), (20, (("repeat", "2"),))]


def test_advisor(tmp_path):
    (one,) = heard(tmp_path, ADVISOR)
    assert (one.total, one.over, one.trust) == (200e9, "kernel", "approximate")
    assert one.share_known == pytest.approx(2 / 3)


def test_plain_names():
    for name in (
        "cpu_core/fp_arith_inst_retired.128b_packed_single/u", "FP_ARITH_INST_RETIRED_128B_PACKED_SINGLE",
        "fp_arith_inst_retired.128b_packed_single:uk", "fp_arith_inst_retired.128b_packed_single [cpu_atom]",
    ):  # fmt: skip
        assert plain(name) == "fp_arith_inst_retired_128b_packed_single"


def test_every_expected_event_and_part_is_in_its_family():
    for family in FAMILIES:
        names = {event.name for event in family.events}
        assert len(names) == len(family.events)
        assert {name for some in family.expected.values() for name in some} <= names
        assert {part for event in family.events for part in event.parts} <= names
