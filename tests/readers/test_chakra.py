"""Execution traces against the plain JSON, against Kineto's own record of the same ops, and joined to it."""

import contextlib
import gzip
import json
import random
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from flopsight.errors import BadFile, FlopsightError, UsageError
from flopsight.readers import Limits, read
from flopsight.readers.chakra import READER
from flopsight.readers.find import head_of
from flopsight.readers.joined import joined
from flopsight.trace import Host, Signature, Trace
from flopsight.trace.columns import HOST_RANGE, OP
from tests.readers.places import kept

LINEAR, ADD = kept("chakra/rtx2080ti_linear_et.json.gz"), kept("chakra/a100_simple_add_et.json.gz")
ADD_KINETO = kept("chakra/a100_simple_add_kineto.json.gz")


def written(tmp_path, data, name="et.json"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


def called(trace, name):
    """How often an op was called with which dims."""
    rows = [(trace.names[n], s) for n, s in zip(trace.host.name, trace.host.signature, strict=True)]
    return Counter(trace.signatures[s].dims if s >= 0 else None for n, s in rows if n == name)


def flops(trace):
    """2MNK of every matrix product."""
    total = 0
    for name, at in (("aten::mm", 0), ("aten::addmm", 1)):
        for dims, count in called(trace, name).items():
            (m, k), (_, n) = dims[at : at + 2]
            total += count * 2 * m * k * n
    return total


# ---- schema 1.0.1, real


def test_a_training_of_one_linear_layer():
    """20 steps of Linear(1024, 1024) on 512 rows and one more forward-backward of the warm-up: 21 forward products, 21
    of the weight's gradient, 20 of the input's, each 2 * 512 * 1024 * 1024."""
    trace = read(LINEAR)[0]
    assert trace.format == "chakra"
    assert not trace.timeline
    assert len(trace.host) == 931
    assert called(trace, "aten::addmm") == {((1024,), (512, 1024), (1024, 1024), (), ()): 21}
    assert called(trace, "aten::mm") == {((1024, 512), (512, 1024)): 21, ((512, 1024), (1024, 1024)): 20}
    assert flops(trace) == 62 * 2 * 512 * 1024 * 1024
    assert trace.marks["schema"] == "1.0.1"
    assert trace.threads == ("24248/0", "24248/1", "24248/2")
    assert trace.unread == ()


def test_every_row_is_the_node_of_the_file():
    raw = sorted(json.loads(gzip.decompress(LINEAR.read_bytes()))["nodes"], key=lambda one: one["id"])
    trace = read(LINEAR)[0]
    host = trace.host
    assert [trace.names[i] for i in host.name] == [one["name"] for one in raw]
    assert host.record.tolist() == [one["rf_id"] or -1 for one in raw]
    assert host.sequence.tolist() == [one["seq_id"] for one in raw]
    assert [len(trace.signatures[s].types) if s >= 0 else 0 for s in host.signature] == [
        len(one["input_types"]) for one in raw
    ]
    ids = [one["id"] for one in raw]
    assert [ids[p] if p >= 0 else None for p in host.parent] == [
        one["parent"] if one["parent"] in set(ids) and one["parent"] != one["id"] else None for one in raw
    ]
    assert (host.kind == HOST_RANGE).sum() == sum(one["scope"] == 7 for one in raw)
    assert host.start.tolist() == list(range(931))
    assert (host.end < host.start).all()


# ---- the newest schema: the torch that runs this test, beside Kineto's own record


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from torch.profiler import ExecutionTraceObserver, ProfilerActivity, profile, record_function

    folder = tmp_path_factory.mktemp("traces")
    observer = ExecutionTraceObserver()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        observer.register_callback(str(folder / "et.json"))
        layer, x = torch.nn.Linear(8, 4), torch.randn(3, 8)
        q = torch.randn(1, 2, 5, 4, dtype=torch.bfloat16)
        with profile(activities=[ProfilerActivity.CPU], execution_trace_observer=observer, record_shapes=True) as p:
            with record_function("mine"):
                layer(x).relu().sum().backward()
            torch.cat([x, x], 0)
            torch.stack([x.half(), x.half()])
            torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
            torch.conv2d(torch.ones(1, 3, 8, 8), torch.ones(2, 3, 3, 3), None, padding=1)
            x.sum(-1, keepdim=True).clamp(min=0.5)
        p.export_chrome_trace(str(folder / "kineto.json"))
    return read(folder / "kineto.json")[0], read(folder / "et.json")[0]


def _signatures(trace):
    ops = trace.host.kind == OP
    columns = (trace.host.record[ops], trace.host.name[ops], trace.host.signature[ops])
    return {r: (trace.names[n], trace.signatures[s] if s >= 0 else None) for r, n, s in zip(*columns, strict=True)}


def test_signatures_are_those_that_kineto_records(pair):
    """Dims, types, strides and plain arguments of every op, but for the digits of numbers that are not whole."""
    kineto, execution = map(_signatures, pair)
    assert len(kineto) > 60
    assert set(kineto) <= set(execution)
    for record, (name, theirs) in kineto.items():
        assert execution[record] == (name, theirs)


def test_shapes_that_were_not_recorded_come_from_the_execution_trace(pair):
    kineto, execution = pair
    bare = replace(kineto, host=replace(kineto.host, signature=np.full(len(kineto.host), -1, np.int32)), signatures=())
    whole = joined(bare, execution)
    assert _signatures(whole) == _signatures(kineto)
    assert "Shapes of" in whole.notes[-1]
    assert whole.unread == kineto.unread
    assert _signatures(joined(kineto, execution)) == _signatures(kineto)
    mine = whole.host.kind == HOST_RANGE
    assert (whole.host.signature[mine] == -1).all()


# ---- joined, real and by hand


def test_the_pair_of_an_a100():
    """A Kineto file of 2023: its external numbers are the numbers of record functions."""
    kineto, execution = read(ADD_KINETO)[0], read(ADD)[0]
    assert len(execution.host) == 38
    whole = joined(kineto, execution)
    ops = whole.host.kind == OP
    assert ops.sum() == 28
    assert (whole.host.signature[ops] >= 0).all()
    assert called(whole, "aten::mul") == called(execution, "aten::mul")
    assert called(whole, "aten::uniform_") == {((256, 256), (), (), ()): 2}
    assert whole.notes == (f"Shapes of 28 ops come from {ADD}.",)


def _by_hand(names, records, **more):
    size = len(names)
    host = Host.of(start=range(size), end=range(size), name=range(size), record=records, **more)
    return Trace("k", "kineto", names=tuple(names), host=host)


def _execution(names, records):
    signatures = tuple(Signature(((n + 1,),), ("float",)) for n in range(len(names)))
    return replace(_by_hand(names, records, signature=range(len(names))), format="chakra", signatures=signatures)


def test_only_the_same_number_and_name_join():
    kineto = _by_hand(["a", "b", "c", "d", "e"], [10, 11, 12, 13, -1], signature=[-1, -1, -1, 0, -1])
    kineto = replace(kineto, signatures=(Signature(((99,),)),))
    whole = joined(kineto, _execution(["x", "b", "a", "d"], [12, 11, 10, 13]))
    dims = [whole.signatures[s].dims if s >= 0 else None for s in whole.host.signature]
    assert dims == [((3,),), ((2,),), None, ((99,),), None]
    assert {one.why: one.count for one in whole.unread} == {
        "the execution trace has no op of their number": 1, "the execution trace has another op under their number": 1,
    }  # fmt: skip


def test_traces_of_different_runs_are_refused():
    with pytest.raises(UsageError, match="not of the run"):
        joined(_by_hand(["a", "b", "c"], [1, 2, 3]), _execution(["c", "a", "b"], [1, 2, 3]))
    with pytest.raises(UsageError, match="from an execution trace to a profiler's trace"):
        joined(_execution(["a"], [1]), _by_hand(["a"], [1]))
    empty = joined(_by_hand([], []), _execution(["a"], [1]))
    assert len(empty.host) == 0
    alone = joined(_by_hand(["a"], [1]), replace(_execution([], []), signatures=()))
    assert alone.unread[0].count == 1


# ---- hostile


def test_the_schemas_that_no_sample_shows(tmp_path):
    """1.0.3-chakra.0.0.4 as param's et_replay documents it: inputs as one object, the rest as attributes."""
    attrs = [{"name": "rf_id", "type": "uint64", "value": 7}, {"name": "seq_id", "type": "int64", "value": 3},
             {"name": "tid", "type": "uint64", "value": 2}, {"name": "scope", "value": 0}]  # fmt: skip
    mm = {"id": 5, "name": "aten::mm", "ctrl_deps": 4, "attrs": attrs,
          "inputs": {"values": [[1, 2, 0, 6, 2, "cuda:0"], [3, 4, 0, 12, 2, "cuda:0"]], "shapes": [[2, 3], [3, 4]],
                     "types": ["Tensor(c10::BFloat16)", "Tensor(c10::BFloat16)"]}}  # fmt: skip
    top = {"id": 4, "name": "## step ##", "ctrl_deps": 4, "attrs": [{"name": "scope", "type": "uint64", "value": 7}]}
    trace = read(written(tmp_path, {"schema": "1.0.3-chakra.0.0.4", "pid": 1, "nodes": [mm, top]}))[0]
    assert [trace.names[i] for i in trace.host.name] == ["## step ##", "aten::mm"]
    assert trace.host.kind.tolist() == [HOST_RANGE, OP]
    assert trace.host.record.tolist() == [-1, 7]
    assert trace.host.sequence.tolist() == [-1, 3]
    assert trace.host.parent.tolist() == [-1, 0]
    assert trace.signatures == (Signature(((2, 3), (3, 4)), ("c10::BFloat16", "c10::BFloat16"), ("", ""), ()),)


def test_absurd_nodes(tmp_path):
    good = {"id": 1, "name": "a", "rf_id": 1, "op_schema": ""}
    bad = [
        5, None, [], {}, {"id": "x"}, {"id": 2**70}, {"id": 3, "rf_id": 2**64}, {"id": 4, "seq_id": None},
        {"id": 5, "parent": 10**30}, {"id": 6, "attrs": 7}, {"id": 7, "input_types": [1, None, {}], "inputs": 3},
        {"id": 8, "input_types": ["Tensor(float)"], "input_shapes": [[2**80, "x", [[[[[[[[[[1]]]]]]]]]]]]},
        {"id": 9, "parent": 9, "attrs": [1, {"name": []}, {"name": "tid"}]}, {"id": 1, "name": "twice", "parent": 1},
    ]  # fmt: skip
    trace = read(written(tmp_path, {"schema": "1.0.1", "nodes": [good, *bad]}))[0]
    assert {one.what: one.count for one in trace.unread} == {"nodes that are not whole": 10}
    assert (trace.host.parent < np.arange(len(trace.host))).all()


def test_recognised_by_content(tmp_path):
    for path in (LINEAR, ADD):
        assert READER.recognises(head_of(path, Limits()))
    assert not READER.recognises(head_of(ADD_KINETO, Limits()))
    for text in (b"", b"{}", b'{"schema": "1"}', b'{"schema": "1.0", "nodes": []}', b'{"nodes": [{"op_schema": 1}]}'):
        assert not READER.recognises(head_of(written(tmp_path, text), Limits()))
    with pytest.raises(BadFile, match="no node"):
        READER.read(written(tmp_path, b'{"schema": "1.0.1", "nodes": []}'), Limits())
    with pytest.raises(BadFile, match="no JSON"):
        READER.read(written(tmp_path, b"["), Limits())


def test_cut_anywhere(tmp_path):
    data = gzip.decompress(ADD.read_bytes())
    last = data.rindex(b"]")
    for end in range(0, len(data), 211):
        with contextlib.suppress(BadFile):
            trace = READER.read(written(tmp_path, data[:end]), Limits())
            assert trace.unread or end > last
            assert trace.marks["schema"] == "1.0.1"


def test_a_broken_node_loses_only_itself(tmp_path):
    data = gzip.decompress(ADD.read_bytes()).replace(b'"rf_id": 7', b'"rf_id": ?', 1)
    trace = READER.read(written(tmp_path, data), Limits())
    assert len(trace.host) == 37
    assert trace.unread[0].count == 1


def test_depth_without_end_ends_in_time(tmp_path):
    data = b'{"schema": "1.0.1", "nodes": [{"id": 1, "name": "a"},' + b'{"id": 1, "name": "a", "op_schema": [' * 200_000
    trace = READER.read(written(tmp_path, data), Limits())
    assert len(trace.host) == 1
    assert trace.unread[-1].what == "the end of the file"


def test_changed_anywhere(tmp_path):
    data, chance = gzip.decompress(ADD.read_bytes()), random.Random(7)
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 6)):
            changed[chance.randrange(len(changed))] = chance.choice((*b'{}[]",:0-9eE.', 0, 255))
        with contextlib.suppress(FlopsightError):
            READER.read(written(tmp_path, bytes(changed)), Limits())
