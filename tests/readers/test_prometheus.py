"""Scrapes: real pages of two exporters, names of other versions, and prometheus_client as the other reader."""

import math

import pytest

from flopsight.errors import BadFile
from flopsight.readers import Limits
from flopsight.readers.find import head_of
from flopsight.readers.prometheus import READER
from flopsight.readers.prometheus.exposition import sample
from flopsight.readers.prometheus.fields import blank
from tests.readers.places import beside, kept

T4 = kept("prometheus/t4_busy.prom")
LABELS = 'gpu="0",UUID="GPU-0",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",Hostname="node"'


def read(tmp_path, text):
    path = tmp_path / "page.prom"
    path.write_text(text)
    assert READER.recognises(head_of(path, Limits()))
    return READER.read(path, Limits())


def value(trace, name, **labels):
    (found,) = [s for s in trace.series if s.name == name and labels.items() <= s.labels.items()]
    return found


def test_a_busy_t4():
    trace = READER.read(T4, Limits())
    assert len(trace.series) == 20
    facts = {
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE": (0.156205, ""), "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": (0.005822, ""),
        "DCGM_FI_PROF_DRAM_ACTIVE": (0.092781, ""), "DCGM_FI_DEV_GPU_UTIL": (91.0, "%"),
        "DCGM_FI_DEV_SM_CLOCK": (660e6, "Hz"), "DCGM_FI_DEV_POWER_USAGE": (68.244, "W"),
        "DCGM_FI_DEV_FB_USED": (5120 * 2.0**20, "byte"), "DCGM_FI_PROF_PCIE_TX_BYTES": (4791810.0, "byte/s"),
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": (15152422.938, "J"),
    }  # fmt: skip
    for name, (number, unit) in facts.items():
        one = value(trace, name)
        assert (one.values.tolist(), one.unit, one.times.tolist()) == ([pytest.approx(number)], unit, [-1])
    (device,) = trace.devices
    assert (device.id, device.name, device.vendor, device.properties["uuid"]) == (0, "Tesla T4", "nvidia", "GPU-0")
    (note,) = [n for n in trace.notes if "is no utilization" in n]
    assert "= 91 %" in note
    assert "15.6 %" in note
    assert "0.6 %" in note
    assert any("not asked for DCGM_FI_PROF_SM_ACTIVE" in n for n in trace.notes)
    assert not trace.unread


def test_an_idle_l40s():
    trace = READER.read(kept("prometheus/l40s_idle_with_help.prom"), Limits())
    assert trace.devices[0].name == "NVIDIA L40S"
    assert value(trace, "DCGM_FI_PROF_DRAM_ACTIVE").values.tolist() == [0.000131]
    assert value(trace, "DCGM_FI_DEV_SM_CLOCK").values.tolist() == [210e6]


def test_an_amd_page():
    trace = READER.read(kept("prometheus/metrics_mini.prom"), Limits())
    assert [d.vendor for d in trace.devices] == ["amd"]
    assert value(trace, "gpu_power_usage").values.tolist() == [41.0]
    # an MI210 has 65,520 MiB (rocm-smi --showmeminfo vram); the page says 68,702 MB
    assert value(trace, "gpu_total_memory").values[0] == pytest.approx(65520 * 2**20, rel=2e-5)


def test_pages_of_servers_are_known_and_not_read_yet(tmp_path):
    trace = READER.read(kept("prometheus/vllm_begin.prom"), Limits())
    assert not trace.series
    assert any(u.what == "server metrics of vLLM" and "not read yet" in u.why for u in trace.unread)
    assert any(u.what == "metrics of other programs" for u in trace.unread)
    for line, who in (('sglang:token_usage{model="m"} 1', "SGLang"), ("tgi_queue_size 0", "TGI")):
        assert read(tmp_path, line + "\n").unread[0].what == f"server metrics of {who}"


def test_pages_without_devices_are_refused(tmp_path):
    with pytest.raises(BadFile, match="no metric of an accelerator"):
        read(tmp_path, "# TYPE go_goroutines gauge\ngo_goroutines 8\n")


@pytest.mark.parametrize(("number", "why"), [
    ("9223372036854775792", "blank"), ("9223372036854775793", "not found"), ("9223372036854775794", "not supported"),
    ("9223372036854775795", "not permitted"), ("2147483634", "not supported"), ("140737488355330", "not supported"),
    ("9.223372036854776e+18", "no value"), ("NaN", "NaN"), ("+Inf", "Inf"),
])  # fmt: skip
def test_blanks_are_unknown(tmp_path, number, why):
    """DCGM_INT64_BLANK and its neighbours, DCGM_INT32_BLANK, DCGM_FP64_BLANK (dcgm_structs.h)."""
    trace = read(tmp_path, f"DCGM_FI_PROF_SM_ACTIVE{{{LABELS}}} {number}\n")
    one = value(trace, "DCGM_FI_PROF_SM_ACTIVE")
    assert math.isnan(one.values[0])
    assert why in one.why
    assert any("unknown, not 0" in note for note in trace.notes)


def test_what_is_no_blank():
    assert not blank("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "15152422938", 15152422938.0)
    assert not blank("gpu_energy_consumed", "4294967296", 4294967296.0)
    assert blank("gpu_gfx_activity", "4294967295", 4294967295.0)


def test_slices(tmp_path):
    """MIG: dcgm-exporter adds GPU_I_PROFILE and GPU_I_ID."""
    trace = read(tmp_path, "".join(
        f'DCGM_FI_PROF_SM_UTIL_RATIO{{{LABELS},GPU_I_PROFILE="{p}",GPU_I_ID="{i}"}} {v}\n'
        for p, i, v in (("1g.10gb", 7, 0.25), ("3g.40gb", 2, 0.5))
    ))  # fmt: skip
    assert [(d.id, d.properties["slice"], d.properties["gpu_i_id"]) for d in trace.devices] == [
        (0, "1g.10gb", "7"), (0, "3g.40gb", "2"),
    ]  # fmt: skip
    assert value(trace, "DCGM_FI_PROF_SM_UTIL_RATIO", GPU_I_ID="2").values.tolist() == [0.5]


def test_a_thousand_devices(tmp_path):
    """Remarks look each device up, and name a few."""
    page = "".join(
        f'{name}{{gpu="{i}",UUID="GPU-{i}",modelName="H100"}} {value}\n' for i in range(1000)
        for name, value in (("DCGM_FI_DEV_GPU_UTIL", 90), ("DCGM_FI_PROF_SM_ACTIVE", 0.5))
    )  # fmt: skip
    trace = read(tmp_path, page)
    assert len(trace.devices) == 1000
    assert len(trace.notes) == 9
    assert all("50.0 % of it" in note for note in trace.notes[:8])
    assert "992 more devices" in trace.notes[8]


def test_intel_pages(tmp_path):
    """XPU Manager 1.x (shares of 1) and 2.x (OpenTelemetry names)."""
    trace = read(tmp_path, (
        'xpum_engine_group_ratio{dev_name="Intel(R) Data Center GPU Max 1550",uuid="u",type="compute"} 0.5\n'
        'xpum_frequency_mhz{dev_name="Intel(R) Data Center GPU Max 1550",uuid="u",location="gpu",type="actual"} 1600\n'
        'hw_memory_bandwidth_utilization_ratio{pci_bdf="0000:03:00.0",hw_memory_type="hbm"} 0.25\n'
    ))  # fmt: skip
    assert [d.name for d in trace.devices] == ["Intel(R) Data Center GPU Max 1550", ""]
    assert value(trace, "xpum_frequency_mhz").values.tolist() == [1.6e9]


def test_several_scrapes_and_times(tmp_path):
    name = f"DCGM_FI_PROF_SM_ACTIVE{{{LABELS}}}"
    stamped = read(tmp_path, f"{name} 0.5 1700000000000\n{name} 0.7 1700000001000\n")
    (one,) = stamped.series
    assert one.times.tolist() == [1700000000 * 10**9, 1700000001 * 10**9]
    bare = read(tmp_path, f"{name} 0.5\n{name} 0.7\n")
    assert [s.labels.get("repeat") for s in bare.series] == [None, "2"]


LINES = (
    'a{b="c"} 1', "a 1", "a{} 1", 'a{b="c",} 1', 'a{b="x\\"y\\\\z\\nw"} 1.5e3', 'a{b="{},= "} NaN', "a +Inf", "a -Inf",
    'a:b{c_1="d",e="f"} 1e-9 1700000000000', 'a { b = "c" } 2', 'a{b="\u00e9"} .5', "a   3   4",
)  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_lines_as_prometheus_client_reads_them(line):
    parser = pytest.importorskip("prometheus_client.parser")
    ((theirs,),) = [family.samples for family in parser.text_string_to_metric_families(line + "\n")]
    mine = sample(line)
    assert (mine.name, mine.labels) == (theirs.name, theirs.labels)
    assert mine.value == theirs.value or (math.isnan(mine.value) and math.isnan(theirs.value))
    assert mine.stamp is None or mine.stamp / 1000 == pytest.approx(float(theirs.timestamp))


@pytest.mark.parametrize("name", ["t4_busy", "l40s_idle_with_help", "metrics_mini", "vllm_begin"])
def test_pages_as_prometheus_client_reads_them(name):
    compare(kept(f"prometheus/{name}.prom").read_text())


@pytest.mark.parametrize("name", ["vllm_2026_qwen2.5-0.5b_fresh", "trtllm_triton"])
def test_large_pages_as_prometheus_client_reads_them(name):
    compare(beside(f"serving/{name}.prom").read_text())


def compare(text):
    parser = pytest.importorskip("prometheus_client.parser")
    # it adds _total to the names of counters that lack it, so it is not told which those are
    untyped = "".join(line + "\n" for line in text.split("\n") if not line.startswith("#"))
    theirs = [
        (s.name, tuple(sorted(s.labels.items())), s.value)
        for family in parser.text_string_to_metric_families(untyped) for s in family.samples
    ]  # fmt: skip
    mine = [sample(line) for line in text.split("\n") if line.strip() and not line.startswith("#")]
    assert None not in mine
    found = [(s.name, tuple(sorted(s.labels.items())), s.value) for s in mine]
    assert sorted(found) == sorted(theirs)
    assert len(found) > 4


@pytest.mark.parametrize("line", [
    "a", "a{", 'a{b="c"', 'a{b="c"}', 'a{b=c} 1', 'a{b="c" 1', "1a 1", "a 1 2 3", "a x", 'a{b="c",b="d"} 1', "a 0x10",
    'a{b="c\\"} 1', "a 1_0", "a " + "9" * 500,
])  # fmt: skip
def test_damaged_lines_are_none(line):
    assert sample(line) is None


def test_exemplars_are_passed_over():
    """OpenMetrics 1.0, "Exemplars"."""
    found = sample('a_bucket{le="0.1"} 8 # {trace_id="x"} 0.067')
    assert (found.labels, found.value) == ({"le": "0.1"}, 8.0)
