"""Chrome traces of XLA: what xprof and JAX write from a profile, against what the profile itself says."""

import contextlib
import gzip
import json
import random
import warnings

import numpy as np
import pytest

from flopsight.errors import BadFile, FlopsightError
from flopsight.readers import Limits, read
from flopsight.readers.chrome import READER
from flopsight.readers.find import head_of
from flopsight.trace import Collective
from flopsight.trace.columns import CALL, COPY, HOST_RANGE, KERNEL, OP, RANGE, SET
from flopsight.trace.intervals import union
from tests.readers.places import kept
from tests.readers.test_xplane import PER_DEVICE, PER_KERNEL

MI300X, TPU = kept("chrome/mi300x_jax_conv.trace.json.gz"), kept("chrome/tpu_by_hand.trace.json.gz")


def work_rows(trace):
    k = trace.kernels.at(trace.kernels.kind != RANGE)
    return sorted(zip((trace.names[i] for i in k.name), k.start.tolist(), k.duration.tolist(), k.correlation.tolist(),
                      k.stream.tolist(), k.device.tolist(), strict=True))  # fmt: skip


def of_ops(trace, kind):
    k = trace.kernels
    ops = (*trace.marks["hlo_ops"], None)
    mine = zip(k.name[k.kind == kind], k.external[k.kind == kind], strict=True)
    return sorted((trace.names[name], ops[op]) for name, op in mine if op >= 0)


def of(tmp_path, events, **around):
    path = tmp_path / "t.trace.json"
    head = {"displayTimeUnit": "ns", "metadata": {"highres-ticks": True}}
    path.write_text(json.dumps(head | {"traceEvents": events} | around))
    return read(path)[0]


def process(pid, name, **threads):
    yield {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}}
    for tid, thread in threads.items():
        yield {"ph": "M", "pid": pid, "tid": int(tid[1:]), "name": "thread_name", "args": {"name": thread}}


def event(pid, tid, ts, dur, name, **args):
    return {"ph": "X", "pid": pid, "tid": tid, "ts": ts, "dur": dur, "name": name, "args": args}


# ---- MI300X: the same kernels as in the profile that the file was made from


def test_eight_mi300x_have_the_facts_of_the_profile():
    trace = read(MI300X)[0]
    k = trace.kernels.at(trace.kernels.kind != RANGE)
    assert trace.format == "chrome"
    assert len(k) == 235
    for device, facts in enumerate(PER_DEVICE):
        mine = k.at(k.device == device)
        busy = union(mine.start, mine.end)
        assert (len(mine), mine.duration.sum(), busy.length, busy.span) == facts
    names = np.array([trace.names[i] for i in k.name])
    for name, (count, total) in PER_KERNEL.items():
        assert ((names == name).sum(), k.duration[names == name].sum()) == (count, total)


def test_every_kernel_is_the_one_of_the_profile():
    mine, theirs = read(MI300X)[0], read(kept("xplane/mi300x_jax_conv.xplane.pb.gz"))[0]
    assert work_rows(mine) == work_rows(theirs)
    for rows in (KERNEL, RANGE):
        assert of_ops(mine, rows) == of_ops(theirs, rows)
    k, h = mine.kernels, mine.host
    launched = k.host[k.kind != RANGE]
    assert (launched >= 0).all()
    assert (h.kind[launched] == CALL).all()
    gemm = next(i for i, n in enumerate(k.name) if mine.names[n].startswith("Cijk"))
    assert (k.grid[gemm].tolist(), k.block[gemm].tolist()) == ([219, 40, 1], [256, 1, 1])
    programs = [mine.names[i] for i in k.name[k.kind == RANGE]]
    assert programs == ["jit_forward_3d_conv(15)"] * 8


def test_what_repeats_is_left_out_and_said():
    events = json.loads(gzip.decompress(MI300X.read_bytes()))["traceEvents"]
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    ops = [e for e in events if e.get("ph") == "X" and threads[e["pid"], e["tid"]].startswith("XLA Ops")]
    unread = {one.what: one.count for one in read(MI300X)[0].unread}
    assert unread["events of the line 'XLA Ops'"] == len(ops) == 159


# ---- TPU


def test_tpu_ops_loops_costs_and_collectives():
    trace = read(TPU)[0]
    first = trace.kernels.at(trace.kernels.device == 0)
    assert [trace.names[i] for i in first.name] == [
        "Steps#0", "jit_step(7)", "fusion.3", "while.2", "fusion.3", "all-reduce.1", "fusion.3",
    ]  # fmt: skip
    assert first.kind.tolist() == [RANGE, RANGE, KERNEL, RANGE, KERNEL, KERNEL, KERNEL]
    assert first.start.tolist() == [5000, 5000, 15000, 45000, 46000, 66000, 100000]
    assert trace.metric("xla_model_flops").values[2] == 2**33
    assert trace.metric("xla_bytes_accessed").values[5] == 40960
    assert np.isnan(trace.metric("xla_bytes_accessed").values[3])
    assert trace.metric("xla_flops") is None
    assert trace.collectives[first.collective[5]] == Collective("all-reduce", 5120, 5120, "f32", 2)
    assert [one.vendor for one in trace.devices] == ["google", "google"]
    assert trace.marks["hlo_ops"][first.external[2]] == ("", "fusion.3", "jit(step)/dot_general")


# ---- the processor that runs this test: JAX writes both files of one run


def test_both_files_of_one_run_say_the_same(tmp_path):
    jax = pytest.importorskip("jax", reason="jax is not installed")
    work = jax.jit(lambda a, b: jax.numpy.tanh(a @ b).sum())
    a = jax.numpy.ones((64, 64))
    work(a, a).block_until_ready()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with jax.profiler.trace(str(tmp_path)), jax.profiler.StepTraceAnnotation("train", step_num=4):
            work(a, a).block_until_ready()
    (alone,) = read(tmp_path)
    assert alone.format == "xplane"
    assert [one.why for one in alone.unread if "trace.json" in one.what] == [
        "the xplane.pb beside it says the same and more"
    ]
    (one,), (other,) = tmp_path.rglob("*.trace.json.gz"), tmp_path.rglob("*.xplane.pb")
    chrome, xplane = read(one)[0], read(other)[0]
    assert work_rows(chrome)
    assert [row[:3] for row in work_rows(chrome)] == [row[:3] for row in work_rows(xplane)]
    for trace in (chrome, xplane):
        steps = {trace.names[i] for i in trace.host.name[trace.host.kind == HOST_RANGE]}
        assert "train#4" in steps
        assert (trace.host.kind == OP).sum() == len(trace.kernels)
        assert "no plane of a device" in trace.notes[0]


# ---- by hand: what those files do not show


def test_copies_fills_and_unknown_processes(tmp_path):
    events = [
        *process(2, "/device:GPU:1", t5="Stream #14(MemcpyH2D,Compute)", t6="Steps"),
        *process(9, "/host:CPU", t1="python"), *process(11, "Source code map"),
        event(2, 5, 0.5, 2, "MemcpyH2D", memcpy_details="kind:H2D size:4096 dest:0 async:1", correlation_id="4"),
        event(2, 5, 3, 1.25, "k", kernel_details="regs:1 grid:2,3,4 block:5,6,7 occ_pct:1", cuda_graph_node_id=8),
        event(2, 5, 5, 1, "Memset", memset_details="kind:device num_bytes:256"),
        event(2, 6, 0, 9, "7"), event(9, 1, 0, 3, "cuMemcpyHtoDAsync_v2", correlation_id=4), event(11, 1, 0, 3, "?"),
        {"ph": "C", "pid": 2, "name": "HBM", "ts": 0, "args": {"bytes": 5}}, {"ph": "i", "pid": 9, "ts": 1},
        {},
    ]  # fmt: skip
    trace = of(tmp_path, events)
    k = trace.kernels
    assert [trace.names[i] for i in k.name] == ["MemcpyH2D", "k", "Memset", "Steps#7"]
    assert k.kind.tolist() == [COPY, KERNEL, SET, RANGE]
    assert (k.start.tolist(), k.end.tolist()) == ([500, 3000, 5000, 0], [2500, 4250, 6000, 9000])
    assert k.bytes.tolist() == [4096, -1, 256, -1]
    assert k.stream.tolist() == [14, 14, 14, 6]
    assert (k.grid[1].tolist(), k.block[1].tolist(), k.graph[1]) == ([2, 3, 4], [5, 6, 7], 8)
    assert k.host.tolist() == [0, -1, -1, -1]
    assert trace.devices[0].id == 1
    assert {one.what: one.count for one in trace.unread} == {
        "values of counters": 1, "moments": 1, "events of the process 'Source code map'": 1,
    }  # fmt: skip


def test_a_loop_has_no_cost_of_its_own(tmp_path):
    line = process(1, "/device:TPU:0", t1="XLA Ops")
    trace = of(tmp_path, [*line, event(1, 1, 0, 9, "while.1", model_flops="50"), event(1, 1, 1, 2, "dot.1", flops=7),
                          event(1, 1, 4, 2, "dot.2", model_flops="5e1")])  # fmt: skip
    assert trace.kernels.kind.tolist() == [RANGE, KERNEL, KERNEL]
    assert np.array_equal(trace.metric("xla_model_flops").values, [np.nan, np.nan, 50], equal_nan=True)
    assert np.array_equal(trace.metric("xla_flops").values, [np.nan, 7, np.nan], equal_nan=True)


def test_a_file_of_threads_only_ends_in_time(tmp_path):
    events = [*process(1, "/host:CPU"), *(event(1, tid, 0, 1, "x") for tid in range(21_000))]
    trace = of(tmp_path, events)
    assert len(trace.host) == 20_000
    assert {one.what: one.count for one in trace.unread} == {"events of more threads": 1000}


def test_absurd_times_and_types(tmp_path):
    host = process(1, "/host:CPU", t1="python")
    good = event(1, 1, 1, 1, "good")
    bad = [
        event(1, 1, float("nan"), 1, "nan"), event(1, 1, 1e300, 1, "far"), event(1, 1, 2, -5, "negative"),
        event(1, 1, 2, 1e300, "endless"), {**good, "ts": "x"}, {**good, "args": [1]}, {**good, "name": 7}, 5, None,
        {**good, "args": {"correlation_id": {"a": 1}, "step_num": [1], "hlo_op": 3}}, {**good, "pid": None},
    ]  # fmt: skip
    trace = of(tmp_path, [*host, good, *bad])
    assert len(trace.host) == 6
    assert (trace.host.end < trace.host.start).sum() == 2
    said = {one.what: one.count for one in trace.unread}
    assert said == {"events without a time that can be": 2, "events that are not whole": 4}


def test_recognised_by_content_and_not_for_a_kineto_file(tmp_path):
    assert READER.recognises(head_of(MI300X, Limits()))
    for name in ("kineto/h100_bert-small.json.gz", "xplane/mi300x_jax_conv.xplane.pb.gz"):
        assert not READER.recognises(head_of(kept(name), Limits()))
    path = tmp_path / "a.json"
    for text in ("", "{}", "[]", '{"metadata":{"highres-ticks":true}}', '{"traceEvents":[{"name":"/device:GPU:0"}]}'):
        path.write_text(text)
        assert not READER.recognises(head_of(path, Limits()))


def test_no_events(tmp_path):
    with pytest.raises(BadFile, match="no event of an XLA profile"):
        of(tmp_path, [*process(1, "/device:GPU:0", t1="Stream #1")])


def test_cut_anywhere(tmp_path):
    whole, path = gzip.decompress(TPU.read_bytes()), tmp_path / "cut.json"
    for end in range(0, len(whole) - 4, 23):
        path.write_bytes(whole[:end])
        with contextlib.suppress(BadFile):
            assert any(one.what == "the end of the file" for one in READER.read(path, Limits()).unread)


def test_changed_anywhere(tmp_path):
    whole, path, chance = gzip.decompress(TPU.read_bytes()), tmp_path / "changed.json", random.Random(6)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.choice((*b'{}[]",:0-9eE.\\n', 0, 255))
        path.write_bytes(data)
        with contextlib.suppress(FlopsightError):
            READER.read(path, Limits())
