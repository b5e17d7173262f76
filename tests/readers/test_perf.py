"""`perf stat`: real files of a machine without counters, and forms that other versions and options write.

Forms: Linux tools/perf/util/stat-display.c and tools/perf/tests/shell/lib/perf_json_output_lint.py.
"""

import gzip
import math

import pytest

from flopsight.errors import BadFile
from flopsight.readers import Limits
from flopsight.readers.find import head_of
from flopsight.readers.perf import READER
from flopsight.readers.perf.separated import separator
from tests.readers.places import kept

NO_PMU = kept("perf/kvm_zen5_no_pmu_perf6.1.jsonl")


def read(tmp_path, text, name="perf.txt"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert READER.recognises(head_of(path, Limits()))
    return READER.read(path, Limits())


def values(trace, name, **labels):
    found = [s for s in trace.series if s.name == name and labels.items() <= s.labels.items()]
    assert len(found) == 1, [(s.name, s.labels) for s in trace.series]
    return found[0]


def test_a_machine_without_counters():
    trace = READER.read(NO_PMU, Limits())
    for event in ("cycles", "instructions", "cache-misses"):
        one = values(trace, event)
        assert math.isnan(one.values[0])
        assert one.why == "<not supported>"
    assert values(trace, "task-clock").unit == "ns"
    assert values(trace, "task-clock").values.tolist() == [311406748.0]
    assert values(trace, "page-faults").values.tolist() == [6616.0]
    assert values(trace, "context-switches").values.tolist() == [229.0]
    assert values(trace, "msr/tsc/").values.tolist() == [808327026.0]
    assert values(trace, "CPUs utilized").values.tolist() == [1.03675]
    assert trace.series[0].times.tolist() == [-1]
    assert any("cycles, instructions, cache-misses: unknown, not 0" in note for note in trace.notes)
    assert [u.count for u in trace.unread] == [3]
    assert trace.devices[0].vendor == "cpu"
    assert not trace.timeline


def test_the_same_with_separators():
    trace = READER.read(kept("perf/kvm_zen5_no_pmu_perf6.1.csv"), Limits())
    assert math.isnan(values(trace, "cycles").values[0])
    assert values(trace, "task-clock").values.tolist() == [500000.0]
    assert values(trace, "page-faults").values.tolist() == [49.0]
    assert values(trace, "msr/tsc/").values.tolist() == [1285856.0]


def test_intervals():
    trace = READER.read(kept("perf/kvm_zen5_interval_perf6.1.jsonl"), Limits())
    clock, faults = values(trace, "cpu-clock"), values(trace, "page-faults")
    assert clock.times.tolist() == [100183062, 200492993, 300742824, 351562301]
    assert clock.values[[0, 3]].tolist() == [643990.0, 58468.0]
    assert [math.isnan(x) for x in clock.values] == [False, True, True, False]
    assert clock.why == "<not counted>"
    assert faults.values[[0, 3]].tolist() == [76.0, 0.0]


def test_commas_before_braces_and_values_as_texts(tmp_path):
    """Arm on 6.3 (lkml, "perf stat: JSON output linter"), and 6.10 with texts as metric values."""
    trace = read(tmp_path, (
        '{"counter-value" : "3112.000000", "unit" : "", "event" : "armv8_pmuv3_1/branch-misses/", '
        '"event-runtime" : 20699340, "pcnt-running" : 100.00, }\n'
        '{"counter-value" : "2283945061.000000", "unit" : "", "event" : "instructions", "event-runtime" : 123, '
        '"pcnt-running" : 100.00, "metric-value" : "0.500000", "metric-unit" : "insn per cycle"}\n'
        '{"counter-value" : "5.0", "unit" : "", "event" : "branches", "event-runtime" : 12, "pcnt-running" : 100.00, '
        '"metric-value" : nan, "metric-unit" : "(null)"}\n'
    ))  # fmt: skip
    assert values(trace, "armv8_pmuv3_1/branch-misses/").values.tolist() == [3112.0]
    assert values(trace, "insn per cycle", of="instructions").values.tolist() == [0.5]
    assert values(trace, "branches").values.tolist() == [5.0]


def test_counters_that_took_turns(tmp_path):
    trace = read(tmp_path, (
        '{"counter-value" : "100.0", "unit" : "", "event" : "a", "event-runtime" : 6, "pcnt-running" : 63.93}\n'
        '{"counter-value" : "200.0", "unit" : "", "event" : "b", "event-runtime" : 6, "pcnt-running" : 100.00}\n'
    ))  # fmt: skip
    assert trace.marks["running"] == {"a": 63.93}
    assert any("63.93 %" in note and "scaled" in note for note in trace.notes)


def test_several_objects_on_a_line_and_formulas(tmp_path):
    """`-M memory_bandwidth_total -j` (lkml, output before and after the fix of new lines)."""
    trace = read(tmp_path, (
        '{"counter-value" : "1117309.000000", "unit" : "", "event" : "UNC_M_CAS_COUNT.RD", "event-runtime" : 801728678,'
        ' "pcnt-running" : 100.00, "metric-value" : 124.961911, "metric-unit" : "MB/s  memory_bandwidth_read"}'
        ' {"metric-value" : 237.237504, "metric-unit" : "MB/s  memory_bandwidth_total"}\n'
    ))  # fmt: skip
    assert values(trace, "UNC_M_CAS_COUNT.RD").values.tolist() == [1117309.0]
    assert values(trace, "memory_bandwidth_total").unit == "byte/s"
    assert values(trace, "memory_bandwidth_total").values[0] == pytest.approx(237.237504e6)


def test_metrics_only(tmp_path):
    old = read(tmp_path, (
        '{"unit" : "GHz"}{"unit" : "insn per cycle"}\n'
        '{"interval" : 1.000000000}{"metric-value" : "3.1"}{"metric-value" : "0.52"}\n'
    ))  # fmt: skip
    assert values(old, "insn per cycle").times.tolist() == [1000000000]
    assert values(old, "GHz").unit == "Hz"
    assert values(old, "GHz").values.tolist() == [3.1e9]
    new = read(tmp_path, '{"socket" : "S0", "counters" : 8, "insn per cycle" : "0.52", "GHz" : "3.1"}\n')
    assert values(new, "insn per cycle", socket="S0").values.tolist() == [0.52]


def test_places_are_labels(tmp_path):
    """Written by perf 6.1 with -A and --per-socket."""
    trace = read(tmp_path, (
        '{"cpu" : "0", "counter-value" : "103.164810", "unit" : "msec", "event" : "cpu-clock", "event-runtime" : 1,'
        ' "pcnt-running" : 100.00, "metric-value" : 0.999962, "metric-unit" : "CPUs utilized"}\n'
        '{"cpu" : "1", "counter-value" : "103.211710", "unit" : "msec", "event" : "cpu-clock", "event-runtime" : 1,'
        ' "pcnt-running" : 100.00, "metric-value" : 1.000416, "metric-unit" : "CPUs utilized"}\n'
        '{"socket" : "S0", "aggregate-number" : 2, "counter-value" : "204.632739", "unit" : "msec", '
        '"event" : "cpu-clock", "event-runtime" : 204634382, "pcnt-running" : 100.00}\n'
    ))  # fmt: skip
    assert values(trace, "cpu-clock", cpu="1").values.tolist() == [103211710.0]
    assert values(trace, "cpu-clock", socket="S0").values.tolist() == [204632739.0]


@pytest.mark.parametrize("between", [",", ";", "\t", "|", "::", " @ "])
def test_any_separator(tmp_path, between):
    line = between.join(("0.73", "msec", "task-clock", "727009", "100.00", "0.422", "CPUs utilized"))
    assert separator(line) == between
    trace = read(tmp_path, line + "\n")
    assert values(trace, "task-clock").values.tolist() == [730000.0]
    assert values(trace, "CPUs utilized").values.tolist() == [0.422]


COLUMNS = {
    "0.73,msec,task-clock,7.40%,727009,100.00,0.422,CPUs utilized": ("task-clock", {}, 730000.0, -1),
    "S0,2,206.82,msec,cpu-clock,206825185,100.00,2.000,CPUs utilized": ("cpu-clock", {"socket": "S0"}, 206820000.0, -1),
    "S0-D0-C1,1,5,,cycles,206825185,50.00,,": ("cycles", {"core": "S0-D0-C1"}, 5.0, -1),
    "S0-D0,16,5,,cycles,206825185,50.00,,": ("cycles", {"die": "S0-D0"}, 5.0, -1),
    "N0,16,<not counted>,,cycles,0,100.00,,": ("cycles", {"node": "N0"}, None, -1),
    "     1.000852081,CPU1,1030742150,,stalls,12010984057,100.00,1.29,stalled cycles per insn": (
        "stalls", {"cpu": "1"}, 1030742150.0, 1000852081,
    ),
    "7,,cpu/event=0x3c,umask=0x0/,1,100.00,,": ("cpu/event=0x3c,umask=0x0/", {}, 7.0, -1),
    "8,,branches,/my/group,1,100.00,,": ("branches", {"cgroup": "/my/group"}, 8.0, -1),
    "bash-1234,9,,instructions,1,100.00,,": ("instructions", {"thread": "bash-1234"}, 9.0, -1),
}  # fmt: skip


@pytest.mark.parametrize("line", COLUMNS)
def test_columns_before_and_after(tmp_path, line):
    """perf 6.1: -r 2 (noise), --per-socket to --per-node, -A -I 1000, -p; a control group; a raw event with commas."""
    name, labels, value, time = COLUMNS[line]
    one = values(read(tmp_path, f"# started on a day\n\n{line}\n"), name)
    assert dict(one.labels) == labels
    assert one.times.tolist() == [time]
    assert math.isnan(one.values[0]) if value is None else one.values.tolist() == [value]


def test_summary_and_other_lines(tmp_path):
    trace = read(tmp_path, (
        "     0.050143178,1.00,msec,task-clock,1003681,100.00,0.020,CPUs utilized\n"
        "         summary,1.07,msec,task-clock,1070690,100.00,0.010,CPUs utilized\n"
        "no line of perf\n"
    ))  # fmt: skip
    assert values(trace, "task-clock").values.tolist() == [1e6]
    assert {u.what: u.count for u in trace.unread} == {"rows of the summary": 1, "lines that are no counters": 1}


def test_summary_behind_intervals(tmp_path):
    """perf 6.1: -j -I 50 --summary."""
    row = (
        '"counter-value" : "%s", "unit" : "msec", "event" : "task-clock", "event-runtime" : 1, "pcnt-running" : 100.00'
    )
    lines = [
        '{"interval" : 0.050160915, ' + row % "0.981888",
        '{"interval" : 0.1, ' + row % "0.062",
        "{" + row % "1.0439",
    ]
    trace = read(tmp_path, "".join(line + "}\n" for line in lines))
    assert [s.values.tolist() for s in trace.series] == [[981888.0, 62000.0]]
    assert trace.unread[0].what == "rows of the summary"


def test_decimal_commas(tmp_path):
    trace = read(tmp_path, "0,73;msec;task-clock;727009;99,50;0,422;CPUs utilized\n")
    assert values(trace, "task-clock").values.tolist() == [730000.0]
    assert trace.marks["running"] == {"task-clock": 99.5}


def test_memory_controllers_come_in_mebibytes(tmp_path):
    trace = read(tmp_path, "1.50,MiB,uncore_imc_0/cas_count_read/,1000,100.00,,\n")
    assert values(trace, "uncore_imc_0/cas_count_read/").unit == "byte"
    assert values(trace, "uncore_imc_0/cas_count_read/").values.tolist() == [1.5 * 2**20]


def test_the_same_counter_twice_is_not_added(tmp_path):
    line = '{"counter-value" : "%d.0", "unit" : "", "event" : "cycles", "event-runtime" : 1, "pcnt-running" : 100.00}\n'
    trace = read(tmp_path, line % 1 + line % 2 + line % 3)
    assert [s.values.tolist() for s in trace.series] == [[1.0], [2.0], [3.0]]
    assert [s.labels.get("repeat") for s in trace.series] == [None, "2", "3"]


def test_the_table_for_people_is_refused_with_help(tmp_path):
    text = (
        "\n Performance counter stats for 'true':\n\n              0.40 msec task-clock    #    0.399 CPUs utilized\n"
    )
    with pytest.raises(BadFile, match="perf stat -j"):
        read(tmp_path, text)


@pytest.mark.parametrize("value", ["1e999", "-5", "nan", "0x12", "", "1_000", "9" * 400])
def test_values_that_are_none(tmp_path, value):
    line = f'{{"counter-value" : "{value}", "unit" : "", "event" : "cycles", "event-runtime" : 1, "pcnt-running" : 1}}'
    one = values(read(tmp_path, line), "cycles")
    assert math.isnan(one.values[0])
    assert one.why


def test_packed_and_cut(tmp_path):
    packed = gzip.compress(NO_PMU.read_bytes() * 40)
    assert len(read(tmp_path, packed, "a.gz").series) == 8 * 40
    trace = read(tmp_path, packed[: len(packed) - 12], "b.gz")
    assert any(u.what == "the end of the file" for u in trace.unread)
