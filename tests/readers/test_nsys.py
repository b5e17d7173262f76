"""Nsight Systems exports: facts of real ones of three schemas, and databases that are none."""

import contextlib
import gzip
import shutil
import sqlite3

import numpy as np
import pytest

from flopsight.achieved.reading import reading_of
from flopsight.errors import BadFile
from flopsight.readers import Limits, read
from flopsight.readers.nsys import READER
from flopsight.trace.columns import CALL, COPY, KERNEL, OP, SET
from flopsight.trace.intervals import union
from tests.readers.places import beside


def swept(trace, device):
    k = trace.kernels
    mine = k.device == device
    computes = mine & (k.kind == KERNEL)
    active = mine & np.isin(k.kind, (KERNEL, COPY, SET))
    talks = np.array(["nccl" in n.lower() for n in trace.names])[k.name] & computes
    busy = union(k.start[active], k.end[active])
    comm, rest = (union(k.start[rows], k.end[rows]) for rows in (talks, computes & ~talks))
    return (
        int(computes.sum()), int(k.duration[computes].sum()), busy.length, busy.span,
        round(100 * (1 - busy.length / busy.span), 2), (comm - rest).length,
    )  # fmt: skip


def test_two_h100_of_a_video_model():
    (trace,) = read(beside("nsys/h100_2gpu_dit_seqpar_before.sqlite.gz"))
    assert swept(trace, 0) == (1993, 270875926, 273817787, 299848812, 8.68, 17172652)
    assert swept(trace, 1) == (2017, 264324724, 267275916, 298661551, 10.51, 8229100)
    assert [d.name for d in trace.devices] == ["", ""]
    ops = trace.host.kind == OP
    assert "aten::mul" in {trace.names[n] for n in trace.host.name[ops]}
    found = reading_of(trace)
    assert found.coverage.op > 0.9


def test_one_kernel_of_an_rtx_3080():
    (trace,) = read(beside("nsys/rtx3080_mock.sqlite.gz"))
    assert (trace.kernels.kind == KERNEL).sum() == 2
    assert trace.kernels.duration[trace.kernels.kind == KERNEL].sum() == 4129
    (device,) = trace.devices
    assert (device.name, device.units, device.capability) == ("NVIDIA GeForce RTX 3080", 68, "8.6")


def test_an_old_schema_of_a_gh200():
    (trace,) = read(beside("nsys/gh200_jacobi_2023.4.sqlite.gz"))
    kernels, total, *_, idle, _ = swept(trace, 0)
    assert (kernels, total, idle) == (1001, 2071933547, 1.11)
    assert np.isin(trace.kernels.kind, (COPY, SET)).sum() == 4003
    assert trace.devices[0].name == "NVIDIA GH200 120GB"
    assert trace.marks["EXPORT_SCHEMA_VERSION"].startswith("3.6")
    assert {u.what for u in trace.unread} == {
        "scheduling of threads",
        "samples of processors",
        "call stacks of samples",
    }


def made(path, *more):
    db = sqlite3.connect(path)
    db.executescript(
        """
        CREATE TABLE META_DATA_EXPORT (name TEXT, value TEXT);
        INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_SCHEMA_VERSION', '3.30.0');
        CREATE TABLE StringIds (id INTEGER, value TEXT);
        INSERT INTO StringIds VALUES (1, 'ampere_bf16_gemm'), (2, 'cudaLaunchKernel_v7000');
        CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER,
            correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, gridX INTEGER, gridY INTEGER,
            gridZ INTEGER);
        CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER, end INTEGER, globalTid INTEGER, correlationId INTEGER,
            nameId INTEGER);
        CREATE TABLE NVTX_EVENTS (start INTEGER, end INTEGER, eventType INTEGER, text TEXT, globalTid INTEGER);
        """
    )
    for process in (5, 6):  # both count their correlations from 1
        pid = process << 24
        db.execute("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (?, ?, 0, 7, 1, ?, 1, 2, 3, 4)",
                   (100 * process, 100 * process + 50, pid))  # fmt: skip
        db.execute("INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (?, ?, ?, 1, 2)",
                   (90 * process, 90 * process + 5, pid | 9))  # fmt: skip
        db.execute("INSERT INTO NVTX_EVENTS VALUES (?, ?, 59, ?, ?)",
                   (90 * process - 2, 90 * process + 9,
                    f"aten::mm, seq = {process}, op_id = 3, sizes = [[4, 8], [8, {process}]]", pid | 9))  # fmt: skip
    for query in more:
        db.execute(query)
    db.commit()
    db.close()
    return path


def test_processes_are_told_apart_and_sizes_of_ranges_give_flops(tmp_path):
    (trace,) = read(made(tmp_path / "a"))
    found = reading_of(trace)
    assert sorted(o.flops.executed for o in found.ops) == [2 * 4 * 8 * 5, 2 * 4 * 8 * 6]
    assert trace.kernels.grid.tolist() == [[2, 3, 4], [2, 3, 4]]
    assert {trace.names[n] for n in trace.host.name[trace.host.kind == CALL]} == {"cudaLaunchKernel"}
    assert trace.threads == ("5/9", "6/9")


def test_metrics_over_time(tmp_path):
    (trace,) = read(
        made(
            tmp_path / "a",
            "CREATE TABLE GPU_METRICS (timestamp INTEGER, typeId INTEGER, metricId INTEGER, value INTEGER)",
            "INSERT INTO GPU_METRICS VALUES (10, 1, 4, 50), (20, 1, 4, 60), (10, 1, 5, 7)",
            "CREATE TABLE TARGET_INFO_GPU_METRICS (typeId INTEGER, typeName TEXT, metricId INTEGER, metricName TEXT)",
            "INSERT INTO TARGET_INFO_GPU_METRICS VALUES (1, 'GPU 0', 4, 'Tensor Active [Throughput %]')",
            "INSERT INTO TARGET_INFO_GPU_METRICS VALUES (1, 'GPU 0', 5, 'x')",
        )
    )  # fmt: skip
    tensor, other = trace.series
    assert (tensor.name, tensor.unit, tensor.values.tolist(), tensor.times.tolist()) == (
        "Tensor Active [Throughput %]", "%", [50, 60], [10, 20],
    )  # fmt: skip
    assert (other.unit, other.labels) == ("", {"gpu": "GPU 0"})


def test_lost_events_are_said_and_odd_values_are_unknown(tmp_path):
    (trace,) = read(
        made(
            tmp_path / "a", "CREATE TABLE DIAGNOSTIC_EVENT (text TEXT)",
            "INSERT INTO DIAGNOSTIC_EVENT VALUES ('12 CUDA events were lost'), ('fine')",
            "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (900, 800, 0, 7, 1, 5, 1, NULL, 'x', 9e300)",
            "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (-9, 'x', 0, 7, 1, 5, 77, 1, 1, 1)",
        )
    )  # fmt: skip
    assert trace.notes == ("Nsight Systems says: 12 CUDA events were lost",)
    assert trace.kernels.timed.tolist() == [True, True, False, False]
    assert trace.kernels.grid[2].tolist() == [-1, -1, -1]
    assert trace.names[trace.kernels.name[3]] == "unnamed kernel"


def test_cut_and_changed_anywhere_is_a_bad_file_or_a_trace(tmp_path):
    whole = made(tmp_path / "a").read_bytes()
    path = tmp_path / "b"
    rng = np.random.default_rng(0)
    for cut in rng.integers(1, len(whole), 60):
        path.write_bytes(whole[:cut])
        with contextlib.suppress(BadFile):
            READER.read(path, Limits())
    for _ in range(250):
        changed = bytearray(whole)
        for at in rng.integers(0, len(changed), rng.integers(1, 30)):
            changed[at] = rng.integers(0, 256)
        path.write_bytes(changed)
        with contextlib.suppress(BadFile):
            READER.read(path, Limits())


def test_an_empty_export_is_said(tmp_path):
    path = tmp_path / "a"
    db = sqlite3.connect(path)
    db.executescript(
        "CREATE TABLE META_DATA_EXPORT (name TEXT, value TEXT); CREATE TABLE StringIds (id INTEGER, value TEXT)"
    )
    db.close()
    with pytest.raises(BadFile, match="without any kernel"):
        read(path)


def test_packed_exports_are_unpacked_beside(tmp_path):
    plain = made(tmp_path / "a")
    with gzip.open(tmp_path / "b.sqlite.gz", "wb") as out, plain.open("rb") as source:
        shutil.copyfileobj(source, out)
    (trace,) = read(tmp_path / "b.sqlite.gz")
    assert len(trace.kernels) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b.sqlite.gz"]
