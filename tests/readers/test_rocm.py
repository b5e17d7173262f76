"""AMD's profilers: facts of real files, hand-made ones for what no sample shows, and damage."""

import contextlib
import json
import shutil
import sqlite3

import numpy as np
import pytest

from flopsight.errors import BadFile
from flopsight.readers import Limits, read
from flopsight.readers.find import readers
from flopsight.trace.columns import CALL, COPY, HOST_RANGE, KERNEL
from flopsight.witness import testimonies as heard
from tests.readers.places import beside

COPIED = 8 * 1048576
"""Bytes that a copy of 1,048,576 doubles reads."""


def said(trace, quantity):
    (one,) = [t for t in heard(trace) if t.quantity == quantity]
    return one.values


def test_a_vector_copy_on_mi300x():
    (trace,) = read(beside("rocprof/compute_vcopy_MI300X_A1"))
    assert len(trace.kernels) >= 3
    assert said(trace, "dram_read")[0] == pytest.approx(COPIED, rel=2e-3)
    bubbles = trace.metric("TCC_BUBBLE_sum").values
    assert 128 * bubbles[0] == pytest.approx(COPIED, rel=1e-3)
    (device, *_) = trace.devices
    assert (device.units, device.capability, device.properties["xcds"]) == (304, "gfx942", 8)
    assert trace.names[trace.kernels.name[0]].startswith("vecCopy(")


def test_times_that_lost_their_digits_are_unknown_durations():
    path = beside("rocprof/compute_vcopy_MI300X_A1/pmc_perf.csv")
    (trace,) = read(path)
    assert not trace.kernels.timed.any()
    assert not trace.timeline
    assert any("durations are unknown" in note for note in trace.notes)


def test_a_vector_copy_on_mi200():
    (trace,) = read(beside("rocprof/compute_vcopy_MI200"))
    assert said(trace, "dram_read")[0] == pytest.approx(COPIED, rel=2e-3)
    assert trace.kernels.timed.all()
    assert trace.kernels.duration.tolist()[:3] == [20480, 16320, 15520]
    assert trace.marks["measured_peaks"]["HBMBw"] == 1388.9302


def test_the_long_form():
    (trace,) = read(beside("rocprof/compute_vcopy_MI300X_A1_rocpd/pmc_perf.csv.gz"))
    assert trace.metric("SQ_INSTS_VALU_MFMA_MOPS_F8") is not None
    assert trace.kernels.duration[0] == 13386742234700548 - 13386742234691895
    assert trace.kernels.grid[0].tolist()[0] == 1048576 // 256


def test_rpd_of_a_matmul():
    (trace,) = read(beside("rocprof/rpd_matmul.rpd"))
    assert (len(trace.kernels), int(trace.kernels.duration.sum())) == (85, 183918056)
    assert (trace.kernels.kind == KERNEL).sum() == 29
    assert ((trace.host.kind == CALL).sum(), (trace.kernels.correlation >= 0).sum()) == (125, 85)


def test_csv_files_of_rocprofv3():
    (trace,) = read(beside("rocprof/rocprofv3_csv/kernel_trace.csv"))
    assert trace.kernels.duration[0] == 1550151853042437 - 1550151853029637
    assert (trace.kernels.grid[0].tolist(), trace.kernels.block[0].tolist()) == ([16, 1024, 1], [64, 1, 1])
    (trace,) = read(beside("rocprof/rocprofv3_csv/counter_collection.csv"))
    assert trace.metric("SQ_WAVES").values[0] == 16384
    (trace,) = read(beside("rocprof/rocprofv3_csv/memory_copy_trace.csv"))
    assert (trace.kernels.kind == COPY).all()
    (trace,) = read(beside("rocprof/rocprofv3_csv/marker_api_trace.csv"))
    assert (trace.host.kind == HOST_RANGE).all()
    (trace,) = read(beside("rocprof/rocprofv3_csv/rocpd-to-csv.csv"))
    assert (trace.host.kind == CALL).all()
    (trace,) = read(beside("rocprof/rocprofv3_csv/hip_api_stats.csv"))
    assert trace.series[0].values.tolist() == [262497406.0]


def test_a_folder_of_a_run_is_one_trace(tmp_path):
    source = beside("rocprof/rocprofv3_csv/kernel_trace.csv").parent
    for name in ("kernel_trace.csv", "memory_copy_trace.csv"):
        shutil.copy(source / name, tmp_path / f"123_{name}")
    (trace,) = read(tmp_path)
    kinds = trace.kernels.kind
    assert ((kinds == KERNEL).any(), (kinds == COPY).any()) == (True, True)


KERNEL_HEADER = (
    "Kind,Agent_Id,Queue_Id,Dispatch_Id,Kernel_Name,Correlation_Id,Start_Timestamp,End_Timestamp,Workgroup_Size_X,"
    "Workgroup_Size_Y,Workgroup_Size_Z,Grid_Size_X,Grid_Size_Y,Grid_Size_Z"
)
COUNTERS = (
    "Correlation_Id,Dispatch_Id,Agent_Id,Queue_Id,Grid_Size,Kernel_Name,Workgroup_Size,Counter_Name,Counter_Value,"
)


def test_counters_join_their_dispatches_and_matrix_flops_are_exact(tmp_path):
    (tmp_path / "a_kernel_trace.csv").write_text(f"{KERNEL_HEADER}\nK,Agent 4,1,7,Cijk,1,1000,3000,256,1,1,1000,2,1\n")
    (tmp_path / "a_counter_collection.csv").write_text(
        COUNTERS + "Start_Timestamp,End_Timestamp\n"
        "1,7,Agent 4,1,1000,Cijk,256,SQ_INSTS_VALU_MFMA_MOPS_BF16,4096,1000,3000\n"
        "1,7,Agent 4,1,1000,Cijk,256,SQ_WAVES,12,1000,3000\n1,7,Agent 4,1,1000,Cijk,256,SQ_BUSY,n/a,1000,3000\n"
    )
    (trace,) = read(tmp_path)
    assert (len(trace.kernels), int(trace.kernels.duration[0]), trace.kernels.grid[0].tolist()) == (1, 2000, [4, 2, 1])
    (one,) = heard(trace)
    assert (one.values.tolist(), one.dtype, one.trust) == ([512 * 4096], "bf16", "exact")
    assert trace.metric("SQ_BUSY") is None
    assert [(u.what, u.count) for u in trace.unread] == [("counters without a number", 1)]


def test_vector_flops_are_an_upper_bound_and_need_all_four_counters(tmp_path):
    rows = [("ADD", 1), ("MUL", 2), ("TRANS", 3), ("FMA", 4)]

    def written(some):
        lines = "".join(f"1,1,A,1,64,k,64,SQ_INSTS_VALU_{op}_F32,{n},5,9\n" for op, n in some)
        path = tmp_path / f"{len(some)}.csv"
        path.write_text(f"{COUNTERS}Start_Timestamp,End_Timestamp\n{lines}")
        return heard(read(path)[0])

    (one,) = written(rows)
    assert (one.values.tolist(), one.trust, one.dtype) == ([64 * (1 + 2 + 3 + 8)], "upper bound", "fp32")
    assert written(rows[:3]) == ()


def test_json_of_rocprofv3(tmp_path):
    handle = {"handle": 9}
    tool = {
        "agents": [{"id": handle, "type": 2, "cu_count": 304, "name": "gfx942", "product_name": "AMD Instinct MI300X"}],
        "kernel_symbols": [{"kernel_id": 3, "formatted_kernel_name": "gemm"}],
        "counters": [{"id": {"handle": 77}, "name": "SQ_INSTS_VALU_MFMA_MOPS_F8"}],
        "buffer_records": {
            "kernel_dispatch": [
                {
                    "start_timestamp": 10,
                    "end_timestamp": 25,
                    "correlation_id": {"internal": 4},
                    "dispatch_info": {
                        "kernel_id": 3,
                        "agent_id": handle,
                        "dispatch_id": 1,
                        "grid_size": {"x": 512, "y": 1, "z": 1},
                        "workgroup_size": {"x": 256, "y": 1, "z": 1},
                    },
                }
            ],
            "memory_copy": [{"start_timestamp": 1, "end_timestamp": 3, "dst_agent_id": handle, "bytes": 64}],
        },
        "callback_records": {
            "counter_collection": [
                {
                    "dispatch_data": {"dispatch_info": {"kernel_id": 3, "agent_id": handle, "dispatch_id": 1}},
                    "records": [{"counter_id": {"handle": 77}, "value": 10}],
                }
            ]
        },
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"rocprofiler-sdk-tool": [tool]}))
    (trace,) = read(path)
    assert (trace.kernels.duration.tolist(), trace.kernels.bytes.tolist()) == ([15, 2], [-1, 64])
    assert (trace.devices[0].name, trace.devices[0].units) == ("AMD Instinct MI300X", 304)
    assert trace.kernels.grid[0].tolist() == [2, 1, 1]
    (one,) = heard(trace)
    assert np.nansum(one.values) == 5120
    path.write_text(path.read_text()[:-40])
    with pytest.raises(BadFile, match="no complete JSON"):
        read(path)


def test_a_rocpd_database(tmp_path):
    path = tmp_path / "a.db"
    db = sqlite3.connect(path)
    db.executescript(
        """
        CREATE TABLE rocpd_info_agent (id INTEGER);
        CREATE TABLE k (dispatch_id INTEGER, name TEXT, start INTEGER, end INTEGER, agent_id INTEGER,
            stream_id INTEGER, grid_x INTEGER, grid_y INTEGER, grid_z INTEGER, workgroup_x INTEGER, workgroup_y INTEGER,
            workgroup_z INTEGER);
        INSERT INTO k VALUES (1, 'gemm', 100, 250, 4, 2, 1024, 1, 1, 256, 1, 1);
        CREATE VIEW kernels AS SELECT * FROM k;
        CREATE TABLE c (dispatch_id INTEGER, kernel_name TEXT, counter_name TEXT, value REAL, start INTEGER,
            end INTEGER);
        INSERT INTO c VALUES (1, 'gemm', 'SQ_INSTS_VALU_MFMA_MOPS_F16', 3.0, 100, 250);
        INSERT INTO c VALUES (1, 'gemm', 'SQ_WAVES', NULL, 1, 2);
        CREATE VIEW counters_collection AS SELECT * FROM c;
        """
    )
    db.commit()
    db.close()
    (trace,) = read(path)
    assert (trace.format, trace.kernels.duration.tolist(), trace.kernels.grid.tolist()) == ("rocpd", [150], [[4, 1, 1]])
    (one,) = heard(trace)
    assert one.values.tolist() == [1536]


@pytest.mark.parametrize("name", ["kernel_trace.csv", "counter_collection.csv"])
def test_csv_cut_and_changed_anywhere(name, tmp_path):
    whole = beside(f"rocprof/rocprofv3_csv/{name}").read_bytes()
    path, rng = tmp_path / "a.csv", np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for at in rng.integers(0, len(changed), rng.integers(0, 12)):
            changed[at] = rng.integers(0, 256)
        path.write_bytes(changed)
        with contextlib.suppress(BadFile):
            read(path)


def test_databases_cut_and_changed_anywhere(tmp_path):
    whole = beside("rocprof/rpd_matmul.rpd").read_bytes()
    path, rng = tmp_path / "a.rpd", np.random.default_rng(0)
    for _ in range(120):
        changed = bytearray(whole[: rng.integers(100, len(whole) + 1)] if rng.random() < 0.3 else whole)
        for at in rng.integers(0, len(changed), rng.integers(1, 40)):
            changed[at] = rng.integers(0, 256)
        path.write_bytes(changed)
        with contextlib.suppress(BadFile):
            read(path)


def test_each_format_has_one_reader():
    names = [one.name for one in readers()]
    assert len(names) == len(set(names))
    assert {"rpd", "rocpd", "rocprofv3-json", "rocprof-compute", "rocprofv3-csv"} <= set(names)
    assert Limits().size > 0
