"""unitrace: gold outputs of a SYCL GEMM. Advisor and VTune: hand-made tables (no public file of a run was found).

Columns of Advisor: ReFrame's check of its roofline ("Self GFLOPS" = "Self GFLOP" / "Self Elapsed Time") and its user
guide. Columns of VTune: user guide, "Generate Command Line Reports".
"""

import numpy as np
import pytest

from flopsight.errors import BadFile
from flopsight.readers import Limits, read
from flopsight.readers.intel import advisor, unitrace, vtune
from flopsight.readers.intel.timeline import kind, named
from flopsight.trace.columns import CALL, COPY, KERNEL, RANGE, SET
from flopsight.trace.intervals import union
from tests.readers.places import kept

GEMM = "::__GEMM"


def write(tmp_path, text):
    path = tmp_path / "report.txt"
    path.write_text(text)
    return path


def test_the_timeline():
    (trace,) = read(kept("unitrace/dpc_gemm_t.txt"))
    kernels, host = trace.kernels, trace.host
    assert trace.format == "unitrace"
    assert (len(kernels), len(host)) == (20, 20)
    assert (kernels.kind == COPY).sum() == 16
    gemm = kernels.at(kernels.kind == KERNEL)
    assert trace.names[gemm.name[0]].endswith(GEMM)
    # ends less starts of the four lines, by hand
    assert gemm.duration.tolist() == [2853760, 2850240, 2850400, 2880160]
    # 1024 x 1024 elements, one a work item
    assert gemm.grid.tolist() == [[1, 1024, 1]] * 4
    assert gemm.block.tolist() == [[1024, 1, 1]] * 4
    assert kernels.bytes[kernels.kind == COPY].tolist() == [4 * 1024 * 1024] * 16
    assert host.kind.tolist() == [CALL] * 20
    assert (host.end[kernels.host] <= kernels.start).all()
    assert union(kernels.start, kernels.end).length == int(kernels.duration.sum())
    assert trace.threads == ("47571",)
    assert trace.devices[0].properties["handle"] == "35747536"
    assert not trace.unread


def test_the_summary_of_the_host():
    (trace,) = read(kept("unitrace/dpc_gemm_h.txt"))
    # what the file says of each backend in its head
    assert int((trace.host.end - trace.host.start).sum()) == 31476739 + 50771 + 23006
    assert trace.marks["execution_ns"] == 81615043
    assert not trace.timeline
    mine = trace.host.name == trace.names.index("zeCommandListAppendLaunchKernel")
    assert mine.sum() == 4
    assert int((trace.host.end - trace.host.start)[mine].sum()) == 604590


def test_the_summary_of_the_device(tmp_path):
    """Numbers of dpc_gemm/gold/linux/d.txt, laid out as there."""
    trace = unitrace.READER.read(write(tmp_path, (
        "\n=== Device Timing Summary ===\n\n                Total Execution Time (ns):            214649009\n"
        "    Total Device Time for L0 backend (ns):             97642160\n\n== L0 Backend ==\n\n"
        '   Kernel,        Calls,     Time (ns),  Time (%),   Average (ns),   Min (ns),   Max (ns)\n'
        '"f(int, float)::__GEMM",   4,   89769761,  91.9,  22442440,  1, 2\n'
        '   "zeCommandListAppendMemoryCopy(M2D)",   12,   5238893,  5.3,  436574, 1, 2\n'
    )), Limits())  # fmt: skip
    assert trace.names == ("f(int, float)::__GEMM", "zeCommandListAppendMemoryCopy(M2D)")
    assert [int(trace.kernels.duration[trace.kernels.kind == k].sum()) for k in (KERNEL, COPY)] == [89769761, 5238893]
    assert len(trace.kernels) == 16


def test_open_cl_and_orders(tmp_path):
    """Lines of cl_gemm/gold/linux/t.txt and graph/gold/linux/t.txt; a fill and a command without end."""
    line = "Thread 1 Device 0x44e4920 : {} [ns] 10 (append) 20 (submit) 30 (start) {} (end)"
    trace = unitrace.READER.read(write(tmp_path, "\n".join((
        "the program's own line", line.format("clEnqueueWriteBuffer", 40), line.format("GEMM", 50),
        line.format('"zeCommandListAppendBarrier"', 60), line.format('"zeCommandListAppendMemoryFill[8]"', 70),
        line.format("late", 5), line.format("never", 10**30),
    ))), Limits())  # fmt: skip
    assert trace.kernels.kind.tolist() == [COPY, KERNEL, RANGE, SET, KERNEL]
    assert trace.kernels.bytes.tolist() == [-1, -1, -1, 8, -1]
    assert trace.kernels.timed.tolist() == [True, True, True, True, False]
    assert any("end before they start" in note for note in trace.notes)
    assert {u.what: u.count for u in trace.unread} == {"commands with impossible numbers": 1, "other lines": 1}


def test_names():
    assert named('"a[b][SIMD8 {1; 1; 1} {16; 8; 1}]"') == ("a[b]", -1, (1, 1, 1), (16, 8, 1))
    assert named('"a[SIMD_ANY {1; 2; 3} {4; 5; 6}]"') == ("a", -1, (1, 2, 3), (4, 5, 6))
    assert named('"a[7]"') == ("a[7]", -1, (-1, -1, -1), (-1, -1, -1))
    assert kind("zeCommandListAppendImageCopyRegion") == COPY


ADVISOR = (
    "Intel(R) Advisor Command Line Tool\nCopyright (C) 2009-2024 Intel Corporation. All rights reserved.\n\n"
    "ID,Function Call Sites and Loops,Total Time,Self Time,Self Elapsed Time,Self GFLOPS,Self AI,Self GFLOP,"
    "Self Memory GB,Source Location\n"
    '1,"[loop in gemm at a.cpp:10]",2.500s,2.000s,2.000s,100.000,8.0,200.000,25.000,a.cpp:10\n'
    "2,[loop in copy at a.cpp:30],0.500s,0.500s,0.500s,0,0,0,4.000,a.cpp:30\n"
    "3,main,3.0s,< 0.001s,,,,,,a.cpp:1\n"
    "too,short\n"
)


def test_advisor(tmp_path):
    path = write(tmp_path, ADVISOR)
    (trace,) = read(path)
    assert trace.format == "advisor"
    assert trace.kernels.duration.tolist()[:2] == [2 * 10**9, 5 * 10**8]
    work = trace.metric("Self GFLOP")
    assert work.unit == "FLOP"
    assert work.values[:2].tolist() == [200e9, 0.0]
    assert np.isnan(work.values[2])
    # what Advisor's documentation says of its columns
    assert work.values[0] / trace.kernels.duration[0] * 1e9 == pytest.approx(trace.metric("Self GFLOPS").values[0])
    assert work.values[0] / trace.metric("Self Memory GB").values[0] == trace.metric("Self AI").values[0]
    assert trace.unread[0].count == 1


def test_advisor_without_flops_says_how(tmp_path):
    text = "ID,Function Call Sites and Loops,Self Time\n1,f,1s\n"
    assert "--show-all-columns" in advisor.READER.read(write(tmp_path, text), Limits()).notes[0]


def test_vtune_tasks(tmp_path):
    path = write(tmp_path, (
        "vtune: Executing actions 75 % Generating a report\n"
        "Computing Task,Work Size:Global,Computing Task:Total Time,Computing Task:Average Time,"
        "Computing Task:Instance Count\n"
        '"gemm(float, int)",1024 x 1024,0.010,0.0033,3\nclEnqueueReadBuffer,,1.5ms,,2\n[Outside any task],,,,\n'
    ))  # fmt: skip
    (trace,) = read(path)
    assert trace.format == "vtune"
    assert trace.kernels.duration.tolist() == [3333334, 3333333, 3333333, 750000, 750000]
    assert [trace.names[i] for i in trace.kernels.name] == ["gemm(float, int)"] * 3 + ["clEnqueueReadBuffer"] * 2
    assert not trace.timeline
    assert trace.unread[0].count == 1


def test_vtune_functions(tmp_path):
    (trace,) = read(write(tmp_path, "Function\tCPU Time\tModule\ngemm\t1.25\tlibx.so\nmain\t0.5\ta.out\n"))
    assert [(s.name, s.values.tolist(), s.unit) for s in trace.series] == [
        ("gemm", [1.25e9], "ns"), ("main", [0.5e9], "ns"),
    ]  # fmt: skip


@pytest.mark.parametrize(("reader", "text"), [
    (advisor.READER, "Function Call Sites and Loops,Self Time\n"), (vtune.READER, "Function,CPU Time\nf,x\n"),
    (vtune.READER, "nothing\n"), (advisor.READER, ""), (unitrace.READER, "=== Device Timing Summary ===\n"),
])  # fmt: skip
def test_nothing_to_read(tmp_path, reader, text):
    with pytest.raises(BadFile):
        reader.read(write(tmp_path, text), Limits())
