"""Nsight Compute: tables as its documentation shows them, a real report's facts, and files cut and changed anywhere.

Headings and spellings of units: https://docs.nvidia.com/nsight-compute/NsightComputeCli/ ("Console Output", "CSV"), and
its older releases (nsecond). Facts of the real report: NVIDIA's ncu_report 2026.3 on the same file.
"""

import json
import random

import numpy as np
import pytest

from flopsight import witness
from flopsight.errors import BadFile
from flopsight.readers import Limits, read, readers
from flopsight.readers.find import head_of
from flopsight.readers.ncu import READER, launches
from flopsight.readers.ncu.dumps import parsed
from flopsight.readers.ncu.units import base, decimal_mark, number, unit_of
from tests.readers import ncu_files
from tests.readers.places import beside, kept

FILES = ("by_hand_raw.csv", "by_hand_details.csv", "by_hand_summary.csv", "h100_kernels_ncu_details.jsonl")
KERNELS = dict(zip(FILES, (2, 2, 4, 4), strict=True))
REAL = "ncu/rtx3070_CuVectorAddDrv.ncu-rep"


def metric(trace, name, unit=None):
    return next(m.values for m in trace.metrics if m.name == name and unit in (None, m.unit))


def of(text, path):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return READER.read(path, Limits())


def long(rows, head='"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"'):
    return "\n".join((head, *(",".join(f'"{cell}"' for cell in row) for row in rows))) + "\n"


@pytest.mark.parametrize("name", FILES)
def test_found_by_content_and_by_no_other_reader(name):
    path = kept(f"ncu/{name}")
    assert [one.name for one in readers() if one.recognises(head_of(path, Limits()))] == ["ncu"]
    (trace,) = read(path)
    assert trace.format == "ncu"
    assert len(trace.kernels) == KERNELS[name]
    assert not trace.timeline
    assert "base clock" in trace.notes[0]


def test_raw_page():
    (trace,) = read(kept("ncu/by_hand_raw.csv"))
    assert trace.names == ("void sgemm<128, 2>(float *, int)", "k2(int)")
    assert trace.kernels.start.tolist() == [0, 1_234_560]
    assert trace.kernels.end.tolist() == [1_234_560, 1_236_610]
    assert trace.kernels.grid.tolist() == [[64, 8, 1], [1, 1, 1]]
    assert trace.kernels.block.tolist() == [[256, 1, 1], [32, 1, 1]]
    assert trace.kernels.stream.tolist() == [7, 13]
    (gpu,) = trace.devices
    assert (gpu.name, gpu.vendor, gpu.units, gpu.capability) == ("NVIDIA A100-SXM4-80GB", "nvidia", 108, "8.0")
    assert gpu.properties == {"max_clock_hz": 1.41e9, "seen_clock_hz": 1.085e9}
    assert "1.080 to 1.090 GHz were seen" in trace.notes[0]
    assert any("outstanding GPU clock reset" in note for note in trace.notes)
    assert metric(trace, "dram__bytes_read.sum", "byte").tolist()[0] == pytest.approx(12_580_000)
    assert np.isnan(metric(trace, "dram__bytes_read.sum")[1])
    assert np.isnan(metric(trace, "lts__t_sector_hit_rate.pct")[1])
    assert metric(trace, "dram__bytes_write.sum", "byte").tolist() == [1_024_000, 0]
    assert metric(trace, "smsp__sass_thread_inst_executed_op_ffma_pred_on.sum", "inst").tolist() == [2**31, 64]
    assert metric(trace, "sm__cycles_elapsed.avg.per_second", "Hz").tolist() == [1.09e9, 1.08e9]
    assert {one.what for one in trace.unread} == {"values that are texts"}


def test_details_page():
    (trace,) = read(kept("ncu/by_hand_details.csv"))
    assert trace.kernels.duration.tolist() == [3230, 1_500_000]
    assert trace.kernels.grid.tolist() == [[196, 1, 1]] * 2
    assert metric(trace, "Memory Throughput", "%")[0] == 31.28
    assert metric(trace, "Memory Throughput", "byte/s")[0] == 1.2045e12
    assert metric(trace, "SM Frequency", "Hz")[0] == 1.76e9
    assert np.isnan(metric(trace, "SM Frequency")[1])
    assert trace.devices[0].capability == "9.0"
    assert [(one.what, one.count) for one in trace.unread] == [("rules", 1)]


def test_summary_counts_every_launch():
    (trace,) = read(kept("ncu/by_hand_summary.csv"))
    assert trace.kernels.duration.tolist() == [17_473_124] * 3 + [2_000_000]
    assert trace.kernels.grid.tolist() == [[4096, 1, 1]] * 3 + [[64, 1, 1]]
    assert np.nansum(metric(trace, "dram__bytes_read.sum")) == 3 * 599_752_096
    assert any("average" in note for note in trace.notes)


def test_launches_without_end_are_bounded(tmp_path):
    head = '"Kernel Name","Invocations","Metric Name","Metric Unit","Average"'
    rows = [(f"k{i}", "9" * 12, "gpu__time_duration.sum", "ns", "5") for i in range(400)]
    trace = of(long(rows, head), tmp_path / "a.csv")
    assert len(trace.kernels) == 1_000_400
    assert {one.what: one.count for one in trace.unread}["launches of kernels"] == 400 * (10**12 - 2) - 1_000_000


def test_kernels_without_numbers_are_told_apart_by_a_metric_that_returns(tmp_path):
    head = '"Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"'
    rows = [("k", "s", "gpu__time_duration.sum", "ns", "1"), ("k", "s", "a__b.sum", "", "2")] * 3
    trace = of(long(rows, head), tmp_path / "a.csv")
    assert trace.kernels.duration.tolist() == [1, 1, 1]
    assert metric(trace, "a__b.sum").tolist() == [2, 2, 2]


def test_comma_before_decimals(tmp_path):
    rows = [("0", "k", "gpu__time_duration.sum", "ns", "117.344"),
            ("0", "k", "dram__bytes_read.sum", "byte", "27.595.520"),
            ("0", "k", "sm__throughput.avg.pct_of_peak_sustained_elapsed", "%", "65,77")]  # fmt: skip
    trace = of(long(rows), tmp_path / "german.csv")
    assert trace.kernels.duration.tolist() == [117_344]
    assert [m.values[0] for m in trace.metrics] == [117_344, 27_595_520, 65.77]
    assert any("comma" in note for note in trace.notes)


def test_encodings_of_shells(tmp_path):
    text = kept("ncu/by_hand_raw.csv").read_text()
    plain = of(text, tmp_path / "plain")
    for encoding in ("utf-16", "utf-8-sig"):
        path = tmp_path / encoding
        path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
        assert READER.recognises(head_of(path, Limits()))
        trace = READER.read(path, Limits())
        assert trace.names == plain.names
        assert trace.kernels.end.tolist() == plain.kernels.end.tolist()


def test_two_tables_in_one_file(tmp_path):
    both = kept("ncu/by_hand_details.csv").read_text() + kept("ncu/by_hand_raw.csv").read_text()
    trace = of(both, tmp_path / "both.csv")
    assert trace.kernels.duration.tolist() == [3230, 1_500_000, 1_234_560, 2050]


def test_no_units_no_duration(tmp_path):
    trace = of('"ID","Kernel Name","gpu__time_duration.sum"\n"0","k","12"\n', tmp_path / "bare.csv")
    assert not trace.kernels.timed.any()
    assert any("no row of units" in note for note in trace.notes)
    assert any(one.what == "durations of kernels" for one in trace.unread)


def test_instances_in_brackets(tmp_path):
    rows = [("0", "k", "sass__thread_inst_executed_true_per_opcode", "inst", "1,100 (FFMA: 1,000; IMAD.WIDE: 100)")]
    trace = of(long(rows), tmp_path / "i.csv")
    assert {m.name: m.values[0] for m in trace.metrics} == {
        "sass__thread_inst_executed_true_per_opcode": 1100.0,
        "sass__thread_inst_executed_true_per_opcode[FFMA]": 1000.0,
        "sass__thread_inst_executed_true_per_opcode[IMAD.WIDE]": 100.0,
    }


def test_dump_of_the_details_page():
    (trace,) = read(kept("ncu/h100_kernels_ncu_details.jsonl"))
    assert trace.names[:2] == ("layernorm_fused_vectorized", "strided_rms_norm")
    assert metric(trace, "SM Busy", "%")[0] == 8.117999999999999
    assert metric(trace, "Memory Throughput", "byte/s")[0] == 2599702294546.0283
    assert metric(trace, "L2 Hit Rate", "%").tolist()[:2] == [26.733999999999998, 57.044]
    assert metric(trace, "Executed Ipc Active", "inst/cycle")[1] == 1.082
    assert len(trace.metrics) == 29
    assert not trace.kernels.timed.any()
    assert any("averages over 6 launches" in note for note in trace.notes)
    assert {one.what for one in trace.unread} >= {"rules", "field runtime_ms", "durations of kernels"}


def test_dumps_are_never_executed(tmp_path):
    assert parsed("__import__('os').getcwd()") is None
    assert parsed("{'a': [1, 2.5, None, True]}") == {"a": [1, 2.5, None, True]}
    for text in ("[" * 100_000, "{'a':" * 50_000, "-" * 200_000 + "1", "1" + "+1" * 100_000, "9" * 10_000, "'\\d'"):
        assert parsed(text) in (None, "\\d")
    line = "{'metrics': {'Duration': {'unit': 'us', 'value': 2.5}, 'SM Busy': {'unit': '%', 'value': 'n/a'}}}"
    trace = of(line, tmp_path / "python.txt")
    assert trace.kernels.duration.tolist() == [2500]
    pretty = json.dumps({"metrics": {"Duration": {"unit": "ns", "value": 7}}}, indent=1)
    assert of(pretty, tmp_path / "pretty.json").kernels.duration.tolist() == [7]


def test_real_report():
    (trace,) = read(beside(REAL))
    assert trace.names == ("VecAdd_kernel",)
    assert trace.kernels.duration.tolist() == [3232]
    assert trace.kernels.grid.tolist() == [[196, 1, 1]]
    assert trace.kernels.block.tolist() == [[256, 1, 1]]
    (gpu,) = trace.devices
    assert (gpu.name, gpu.units, gpu.memory, gpu.capability) == ("NVIDIA GeForce RTX 3070", 46, 8334737408, "8.6")
    assert gpu.properties["max_clock_hz"] == 1.725e9
    assert gpu.properties["seen_clock_hz"] == 1417594884.4884489
    for name, unit, expected in (
        ("sm__cycles_active.avg", "cycle", 2650.9347826086955),
        ("launch__waves_per_multiprocessor", "", 0.7101449275362319),
        ("gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed", "%", 31.277901785714285),
        ("profiler__replayer_bytes_mem_accessible.sum", "", 80900496.0), ("launch__thread_count", "", 50176.0),
        ("dram__cycles_elapsed.avg.per_second", "Hz", 6653465346.534653),
    ):  # fmt: skip
        assert metric(trace, name, unit).tolist() == [expected]
    assert len(trace.metrics) == 110
    assert trace.marks["clock_control"] == "Base"
    assert trace.marks["versions"]["CUDA Version"] == "11.7"
    assert "this run: Base" in trace.notes[0]
    assert "1.418 GHz was seen" in trace.notes[0]
    assert {one.what for one in trace.unread} == {
        "code of the GPU", "values that are texts", "values by instance", "sections", "rules", "attributes of the GPU",
    }  # fmt: skip


def test_report_by_hand(tmp_path):
    assert kept("ncu/by_hand.ncu-rep").read_bytes() == ncu_files.small()
    trace = of(ncu_files.small(), tmp_path / "a.ncu-rep")
    assert trace.names == ("saxpy(float *)", "tiny(float *)")
    assert trace.kernels.start.tolist() == [0, 3232]
    assert trace.kernels.end.tolist() == [3232, 4232]
    assert trace.kernels.stream.tolist() == [7, 0]
    assert trace.kernels.grid.tolist() == [[64, 2, 1], [1, 1, 1]]
    (gpu,) = trace.devices
    assert (gpu.id, gpu.name, gpu.units, gpu.capability) == (1, "NVIDIA H100 80GB HBM3", 132, "9.0")
    opcodes = metric(trace, "sass__thread_inst_executed_true_per_opcode[FFMA]", "inst")
    assert opcodes[0] == 60
    assert np.isnan(opcodes[1])
    assert metric(trace, "smsp__sass_thread_inst_executed_op_ffma_pred_on.sum", "inst")[0] == 50176
    said = {one.what: one.count for one in trace.unread}
    assert said["results of ranges"] == 1
    assert said["values by instance"] == 1
    assert said["code of the GPU"] == 1
    assert "this run: None" in trace.notes[0]


def test_names_that_begin_anew_and_that_go_on(tmp_path):
    go_on = ncu_files.report(
        ncu_files.block(("gpu__time_duration.sum",), kernels=(ncu_files.kernel("a", ((0, 5.0),)),)),
        ncu_files.block(("a__b.sum",), kernels=(ncu_files.kernel("b", ((0, 6.0), (1, 7.0))),)),
    )
    anew = ncu_files.report(
        ncu_files.block(("gpu__time_duration.sum",), kernels=(ncu_files.kernel("a", ((0, 5.0),)),)),
        ncu_files.block(("a__b.sum", "gpu__time_duration.sum"), kernels=(ncu_files.kernel("b", ((1, 6.0), (0, 7.0))),)),
    )
    for data in (go_on, anew):
        trace = of(data, tmp_path / "a.ncu-rep")
        assert trace.kernels.duration.tolist() == [5, 6]
        assert metric(trace, "a__b.sum")[1] == 7


def test_another_version_and_packed_reports_are_said(tmp_path):
    trace = of(ncu_files.small().replace(b"\x02\0\0\0\x08\x07", b"\x02\0\0\0\x08\x09"), tmp_path / "a.ncu-rep")
    assert len(trace.kernels) == 2
    assert any("version 9" in note for note in trace.notes)
    path = tmp_path / "a.ncu-repz"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(50))
    with pytest.raises(BadFile, match="zstd -d"):
        read(path)


def test_nothing_in_it(tmp_path):
    for data in (ncu_files.report(), b"NVR\0", b"NVR\0\xff\xff\xff\xff", ncu_files.report(ncu_files.block(NAMES))):
        with pytest.raises(BadFile, match="page raw"):
            of(data, tmp_path / "a.ncu-rep")
    with pytest.raises(BadFile, match="no kernel"):
        of('"ID","Kernel Name","a__b.sum"\n', tmp_path / "a.csv")


NAMES = ncu_files.NAMES


def test_ncu_report_is_asked_where_ours_finds_nothing(tmp_path, monkeypatch):
    """NVIDIA's package is not needed here: a stand-in with the functions that its documentation lists."""
    found = {"gpu__time_duration.sum": (42.0, "ns"), "launch__grid_dim_x": (3.0, ""), "launch__device_id": (1, ""),
             "device__attribute_display_name": ("NVIDIA B200", "")}  # fmt: skip

    class Stand:
        num_ranges = num_actions = staticmethod(lambda: 1)
        range_by_idx = action_by_idx = lambda self, number: self
        name = staticmethod(lambda: "mma")
        metric_names = staticmethod(lambda: tuple(found))

        def metric_by_name(self, name):
            if name not in found:
                return None
            value, unit = found[name]
            return type("M", (), {"value": lambda self: value, "unit": lambda self: unit})()

    module = type("ncu_report", (), {"load_report": staticmethod(lambda path: Stand())})
    monkeypatch.setattr("flopsight.readers.ncu.official.find_spec", lambda name: module)
    monkeypatch.setattr("flopsight.readers.ncu.official.import_module", lambda name: module)
    trace = of(b"NVR\0\x02\0\0\0\x08\x63", tmp_path / "a.ncu-rep")
    assert trace.kernels.duration.tolist() == [42]
    assert trace.devices[0].name == "NVIDIA B200"
    assert any("ncu_report" in note for note in trace.notes)


@pytest.mark.parametrize(("text", "expected"), [
    ("ns", (1, "ns")), ("nsecond", (1, "ns")), ("us", (1e3, "ns")), ("usecond", (1e3, "ns")), ("msecond", (1e6, "ns")),
    ("second", (1e9, "ns")), ("s", (1e9, "ns")), ("byte", (1, "byte")),
    ("Kbyte", (1e3, "byte")), ("Tbyte", (1e12, "byte")),
    ("hz", (1, "Hz")), ("Mhz", (1e6, "Hz")), ("Ghz", (1e9, "Hz")),
    ("cycle/nsecond", (1e9, "Hz")), ("cycle/usecond", (1e6, "Hz")),
    ("byte/second", (1, "byte/s")), ("Gbyte/s", (1e9, "byte/s")),
    ("byte/ns", (1e9, "byte/s")), ("Kbyte/block", (1e3, "byte/block")),
    ("inst/cycle", (1, "inst/cycle")), ("1/ns", (1e9, "1/s")),
    ("register/thread", (1, "register/thread")), ("%", (1, "%")),
    ("", (1, "")), ("Mystery", (1, "Mystery")), ("byte/cycle/block", (1, "byte/cycle/block")),
])  # fmt: skip
def test_units(text, expected):
    assert base(text) == (pytest.approx(expected[0]), expected[1])


def test_numbers():
    assert [number(cell) for cell in ("1,234.5", "12", "-3e-2", " 7 ")] == [1234.5, 12, -0.03, 7]
    assert number("1.234,5", ",") == 1234.5
    for cell in ("n/a", "", "(!) nan", "inf", "1e999"):
        assert np.isnan(number(cell))
    for cell in ("PreferNone", "8.0.1x", "."):
        assert number(cell) is None
    assert decimal_mark(["1,000", "2,000"]) == "."
    assert decimal_mark(["1.000.000"]) == ","
    assert decimal_mark(["65,77"]) == ","
    assert decimal_mark(["1,234.567"]) == "."
    assert decimal_mark([]) == "."


def test_units_of_a_report_are_in_the_names_of_its_metrics():
    for name, unit in (
        ("gpu__time_duration.sum", "ns"), ("dram__bytes_read.sum", "byte"),
        ("dram__bytes_read.sum.per_second", "byte/s"),
        ("lts__t_sectors_op_read.sum", "sector"), ("sm__cycles_elapsed.avg.per_second", "Hz"),
        ("sm__cycles_active.avg", "cycle"),
        ("lts__t_sector_hit_rate.pct", "%"), ("sm__throughput.avg.pct_of_peak_sustained_elapsed", "%"),
        ("smsp__inst_executed.sum", "inst"), ("launch__shared_mem_per_block_static", "byte/block"),
        ("launch__grid_size", ""),
    ):  # fmt: skip
        assert unit_of(name) == unit


def test_durations_that_cannot_be(tmp_path):
    rows = [
        (str(i), "k", "gpu__time_duration.sum", "s", cell) for i, cell in enumerate(("-5", "1e30", "9" * 400, "0.5"))
    ]
    trace = of(long(rows), tmp_path / "a.csv")
    assert trace.kernels.timed.tolist() == [False, False, False, True]
    assert trace.kernels.duration[3] == 500_000_000


def test_more_metrics_than_there_is_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr(launches, "MOST_CELLS", 200)
    rows = [(str(i), "k", f"a__{i}.sum", "", "1") for i in range(100)] + [
        ("0", "k", "gpu__time_duration.sum", "ns", "5")
    ]
    trace = of(long(rows), tmp_path / "a.csv")
    assert len(trace.metrics) == 1
    assert trace.kernels.duration[0] == 5
    assert any(one.what == "metrics" and one.count == 100 for one in trace.unread)


SEEDS = {name: kept(f"ncu/{name}").read_bytes() for name in FILES} | {"small.ncu-rep": ncu_files.small()}


def survive(data, path):
    path.write_bytes(data)
    READER.recognises(head_of(path, Limits()))
    try:
        trace = READER.read(path, Limits())
    except BadFile:
        return None
    assert all(len(m.values) == len(trace.kernels) and not np.isinf(m.values).any() for m in trace.metrics)
    assert all(one.count > 0 for one in trace.unread)
    assert len(trace.kernels) > 0
    witness.testimonies(trace)
    return trace


@pytest.mark.parametrize("name", SEEDS)
def test_cut_anywhere(name, tmp_path):
    data = SEEDS[name]
    for end in range(0, len(data), max(1, len(data) // 120)):
        survive(data[:end], tmp_path / "cut")


@pytest.mark.parametrize("name", SEEDS)
def test_bytes_changed(name, tmp_path):
    chance = random.Random(name)
    for _ in range(120):
        data = bytearray(SEEDS[name])
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(len(data))] = chance.choice((0, 34, 39, 44, 255, 127, chance.randrange(256)))
        survive(bytes(data), tmp_path / "changed")


def test_a_cut_report_says_so(tmp_path):
    trace = survive(ncu_files.small()[:-30], tmp_path / "cut")
    assert trace is not None
    assert len(trace.kernels) >= 1
    assert any(one.what in ("the end of the file", "entries of a block") for one in trace.unread)


def test_a_report_of_many_kernels_with_a_metric_each_stays_small(tmp_path):
    count = 8_000
    names = tuple(f"m{i}__x.sum" for i in range(count))
    kernels = tuple(ncu_files.kernel("k", ((i, 1.0),)) for i in range(count))
    trace = of(ncu_files.report(ncu_files.block(names, kernels=kernels)), tmp_path / "a.ncu-rep")
    assert len(trace.metrics) * len(trace.kernels) <= launches.MOST_CELLS
