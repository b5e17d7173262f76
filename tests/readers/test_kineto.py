"""Facts of real PyTorch profiles: a plain sweep over all their events, made by other code."""

import contextlib
import gzip
import json

import numpy as np
import pytest

from flopsight.errors import BadFile
from flopsight.readers import Limits, read
from flopsight.readers.find import head_of
from flopsight.readers.kineto import READER
from flopsight.trace.columns import CALL, COPY, HOST_RANGE, KERNEL, OP, PYTHON, RANGE, SET
from flopsight.trace.intervals import union
from tests.readers.places import beside, kept

FACTS = {
    # kernels, sum, busy, span, idle %, comm kernels, comm sum, exposed (us)
    "h100_qwen1.5-0.5b_prefill": (1465, 45432.7, 45647.3, 49652.8, 8.07, 0, 0, 0),
    "h100_bert-small": (60, 307.2, 309.4, 3907.8, 92.08, 0, 0, 0),
    "mi300x_bert-small": (60, 388.3, 390.7, 3496.0, 88.82, 0, 0, 0),
    "mi210_gpu_only": (562, 5343.4, 5343.4, 5979.5, 10.64, 0, 0, 0),
    "mi300x_sglang_qwen3-8b_decode_graph_replay": (555, 9765.4, 9772.9, 473749.9, 97.94, 0, 0, 0),
    "a100_alexnet_sync": (79, 10692.0, 66141.0, 12920244.0, 99.49, 0, 0, 0),
    "a100_event_sync": (4, 49.0, 51.0, 263.0, 80.61, 0, 0, 0),
    "mi250_minitoy_rocm6.2": (14, 110.9, 149.0, 8911.9, 98.33, 0, 0, 0),
    "a100_triton_example": (1, 1.8, 1.8, 1.8, 0.0, 0, 0, 0),
}
LARGE = {
    "mi300x_resnet_ddp_act_ckpt_rank0": (2995, 97255.9, 84002.1, 86567.7, 2.96, 17, 71516.5, 55625.2),
    "mi300x_sglang_qwen3-8b_decode_graph_capture_bs32": (2, 11.0, 11.0, 11.0, 0.01, 0, 0, 0),
    "a100_ddp_2rank_nccl_meta_rank0": (2700, 162532.3, 157500.1, 660551.0, 76.16, 21, 46876.5, 39559.5),
    "v100_ddp_2rank_rank1_large": (19370, 977859.0, 1000613.0, 1732965.0, 42.26, 2020, 357343.0, 357343.0),
}
WAITS = (5798, 11336, 3492, 9774, 6587, 6251, 3558, 1746)
KERNELS = (245, 310, 246, 315, 251, 245, 246, 246)


def swept(trace):
    k = trace.kernels
    computes = k.kind == KERNEL
    active = np.isin(k.kind, (KERNEL, COPY, SET))
    talks = np.array(["nccl" in n.lower() or "rccl" in n.lower() for n in (*trace.names, "")])[k.name] & computes
    busy = union(k.start[active], k.end[active])
    comm, rest = (union(k.start[rows], k.end[rows]) for rows in (talks, computes & ~talks))
    return (
        int(computes.sum()), k.duration[computes].sum() / 1e3, busy.length / 1e3, busy.span / 1e3,
        100 * (1 - busy.length / busy.span) if busy.span else 100.0, int(talks.sum()), k.duration[talks].sum() / 1e3,
        (comm - rest).length / 1e3,
    )  # fmt: skip


def check(trace, facts):
    found = swept(trace)
    loose = 0.06 + 1e-4 * len(trace.kernels)
    assert (found[0], found[5]) == (facts[0], facts[5])
    for mine, theirs in zip(found[1:4] + found[6:], facts[1:4] + facts[6:], strict=True):
        assert mine == pytest.approx(theirs, abs=loose)
    assert found[4] == pytest.approx(facts[4], abs=0.006)


@pytest.mark.parametrize("name", FACTS)
def test_facts(name):
    (trace,) = read(kept(f"kineto/{name}.json.gz"))
    check(trace, FACTS[name])
    assert not [u for u in trace.unread if "not used" not in u.why]


@pytest.mark.parametrize("name", LARGE)
def test_facts_of_large_files(name):
    (trace,) = read(beside(f"kineto/{name}.json.gz"))
    check(trace, LARGE[name])


def test_eight_ranks_in_an_archive():
    traces = read(beside("kineto/v100_dlrm_8ranks.tar.gz"))
    by_rank = sorted(traces, key=lambda t: t.rank)
    assert [t.rank for t in by_rank] == list(range(8))
    found = [swept(t) for t in by_rank]
    assert tuple(f[0] for f in found) == KERNELS
    assert tuple(round(f[6]) for f in found) == WAITS
    assert all("v100_dlrm_8ranks.tar.gz!" in t.source for t in traces)


def test_counters_of_the_range_profiler():
    (trace,) = read(kept("kineto/a100_cupti_counters_alexnet.json.gz"))
    sums = {"ffma": 39142369720, "fadd": 964651656, "fmul": 430063616, "hfma": 275791872}
    for op, expected in sums.items():
        metric = trace.metric(f"smsp__sass_thread_inst_executed_op_{op}_pred_on.sum")
        assert np.nansum(metric.values) == expected
        assert (~np.isnan(metric.values)).sum() == 77
    assert (trace.kernels.kind == RANGE).sum() == 77


def test_devices_are_named_as_the_driver_does():
    (trace,) = read(kept("kineto/h100_bert-small.json.gz"))
    (device,) = trace.devices
    assert (device.name, device.vendor, device.units, device.capability) == (
        "NVIDIA H100 80GB HBM3",
        "nvidia",
        132,
        "9.0",
    )
    (trace,) = read(kept("kineto/mi300x_bert-small.json.gz"))
    assert trace.devices[0].name == "AMD Instinct MI300X VF"


def test_no_device_activity_and_no_device():
    (trace,) = read(kept("kineto/a100_no_gpu_activity.json.gz"))
    assert (len(trace.kernels), (trace.host.kind == OP).sum(), trace.devices) == (0, 2424, ())
    (trace,) = read(kept("kineto/cpu_only_rank34_gloo.json.gz"))
    assert (len(trace.kernels), (trace.host.kind == OP).sum(), trace.rank, trace.world) == (0, 4, 34, 300)


def test_what_threads_did():
    (trace,) = read(kept("kineto/h100_qwen1.5-0.5b_prefill.json.gz"))
    counts = {kind: int((trace.host.kind == kind).sum()) for kind in (OP, CALL, PYTHON, HOST_RANGE)}
    assert (counts[OP], counts[CALL], counts[HOST_RANGE]) == (4186, 1921 + 1, 1)
    assert trace.marks["record_shapes"] == 1


def write(path, events, **keys):
    path.write_text(json.dumps({"schemaVersion": 1, **keys, "traceEvents": events}))
    return path


def kernel(ts, dur=1.0, **args):
    return {"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": ts, "dur": dur, "args": args}


def test_nanoseconds_survive_a_time_since_1970(tmp_path):
    (trace,) = read(write(tmp_path / "a", [kernel(1669783687464249, 1001), kernel(1669783687465250, 1)]))
    assert trace.kernels.start.tolist() == [1669783687464249000, 1669783687465250000]
    assert trace.kernels.end.tolist() == [1669783687465250000, 1669783687465251000]


def test_collectives(tmp_path):
    args = {
        "Collective name": "allreduce", "In msg nelems": 10, "Out msg nelems": 10, "Group size": 2, "dtype": "Float",
        "Process Group Name": "0",
    }  # fmt: skip
    (trace,) = read(write(tmp_path / "a", [kernel(1, **args), kernel(2)]))
    assert trace.kernels.collective.tolist() == [0, -1]
    (one,) = trace.collectives
    assert (one.kind, one.sent, one.received, one.ranks, one.dtype, one.group) == ("allreduce", 10, 10, 2, "Float", "0")


def test_times_that_cannot_be(tmp_path):
    path = tmp_path / "a"
    events = [kernel(5, -3), kernel(10**18), kernel(1, 10**17), kernel(2, 1)]
    path.write_text(json.dumps({"schemaVersion": 1, "traceEvents": events}).replace('"dur": 1.0', '"dur": NaN', 1))
    (trace,) = read(path)
    assert trace.kernels.timed.tolist() == [False, False, True]
    said = {u.what: u.count for u in trace.unread}
    assert said["events without a time that can be"] == 1
    assert said["events without a duration that can be (kept, of unknown length)"] == 2


def test_odd_types_lose_the_event_or_the_value_and_say_so(tmp_path):
    odd = [
        {
            "ph": "X",
            "cat": "kernel",
            "name": "k",
            "ts": "12.5",
            "dur": "2",
            "pid": 0,
            "tid": 1,
            "args": {"stream": "7"},
        },
        {"ph": "X", "cat": "kernel", "name": "k", "ts": [], "dur": 2},
        7,
        {"ph": "X", "cat": "kernel", "name": 5, "ts": 20, "dur": 1, "args": {"correlation": "x", "device": 2**70}},
        {"ph": "??"},
        {"ph": "X", "cat": "unheard_of", "name": "k", "ts": 1, "dur": 1},
        {"ph": "X", "cat": "cpu_op", "name": "a", "ts": 1, "dur": 1, "args": {"Input Dims": "x", "External id": 1.5}},
    ]
    (trace,) = read(write(tmp_path / "a", odd))
    assert trace.kernels.start.tolist() == [12500, 20000]
    assert trace.kernels.stream.tolist() == [7, -1]
    said = {u.what: u.count for u in trace.unread}
    assert said["events that are not whole"] == 3
    assert said["events of the category 'unheard_of'"] == 1


@pytest.mark.parametrize("layout", ["dense", "lines", "bare"])
def test_files_cut_anywhere_give_what_is_whole(tmp_path, layout):
    events = [kernel(n, 0.5, correlation=n, grid=[1, 2, 3], note='}, {"ph"') for n in range(40)]
    text = json.dumps(events if layout == "bare" else {"schemaVersion": 1, "traceEvents": events, "a": [{"b": 1}]},
                      indent=1 if layout == "lines" else None)  # fmt: skip
    path = tmp_path / "a"
    rng = np.random.default_rng(0)
    for cut in sorted({*rng.integers(1, len(text), 120).tolist(), len(text) - 1, len(text) - 2}):
        path.write_text(text[:cut])
        try:
            trace = READER.read(path, Limits())
        except BadFile as error:
            assert "holds no event" in str(error)  # noqa: PT017 - some cuts leave whole events
            continue
        found = trace.kernels.correlation.tolist()
        assert found == list(range(len(found)))
        if len(found) < 40:
            assert any(u.what == "the end of the file" for u in trace.unread)
    path.write_text(text)
    assert len(READER.read(path, Limits()).kernels) == 40


def test_many_pieces_and_a_broken_one(tmp_path, monkeypatch):
    from flopsight.readers import events as module

    monkeypatch.setattr(module, "PIECE", 2000)
    events = [kernel(n, 0.5, correlation=n, grid=[n, 1, 1]) for n in range(500)]
    text = json.dumps({"traceEvents": events, "distributedInfo": {"rank": 3}, "deviceProperties": []})
    path = tmp_path / "a"
    path.write_text(text)
    trace = READER.read(path, Limits())
    assert trace.kernels.correlation.tolist() == list(range(500))
    assert trace.kernels.grid[:, 0].tolist() == list(range(500))
    assert trace.rank == 3
    path.write_text(text.replace('"ts": 250,', '"ts": 250, "x": \x01,', 1))
    trace = READER.read(path, Limits())
    assert trace.kernels.correlation.tolist() == [n for n in range(500) if n != 250]
    assert next(u for u in trace.unread if u.what == "events that are not whole").count == 1


def test_deep_nesting_and_long_texts(tmp_path):
    deep = '{"traceEvents": [' + json.dumps(kernel(1)) + ', {"ph": "X", "cat": "kernel", "args": ' + "[" * 100_000
    path = tmp_path / "a"
    path.write_text(deep)
    trace = READER.read(path, Limits())
    assert len(trace.kernels) == 1
    assert any(u.what == "the end of the file" for u in trace.unread)


def test_a_bomb_is_refused(tmp_path):
    path = tmp_path / "a.json.gz"
    event = json.dumps(kernel(1)).encode()
    with gzip.open(path, "wb") as out:
        out.write(b'{"schemaVersion": 1, "traceEvents": [')
        for _ in range(80):
            out.write((event + b",") * 10_000)
    with pytest.raises(BadFile, match="unpacks to more than"):
        READER.read(path, Limits(ratio=100))


def test_a_damaged_archive_says_where_it_ends(tmp_path):
    whole = kept("kineto/h100_bert-small.json.gz").read_bytes()
    path = tmp_path / "a.json.gz"
    path.write_bytes(whole[: len(whole) // 2])
    (trace,) = read(path)
    assert any("EOFError" in u.why for u in trace.unread)
    assert len(trace.host) > 10


def test_bytes_changed_at_random_are_never_another_exception(tmp_path):
    whole = bytearray(gzip.decompress(kept("kineto/a100_event_sync.json.gz").read_bytes()))
    path = tmp_path / "a"
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(whole)
        for at in rng.integers(0, len(changed), rng.integers(1, 12)):
            changed[at] = rng.integers(0, 256)
        path.write_bytes(changed)
        with contextlib.suppress(BadFile):
            READER.read(path, Limits())


def test_recognised_by_content():
    for name in FACTS:
        assert READER.recognises(head_of(kept(f"kineto/{name}.json.gz"), Limits()))


def test_what_is_no_trace_is_said(tmp_path):
    path = tmp_path / "notes.json"
    path.write_text('{"hello": 1}')
    with pytest.raises(BadFile, match="no format that is read here"):
        read(path)
    with pytest.raises(BadFile, match="does not exist"):
        read(tmp_path / "absent")
