"""Readers of counters on damaged files: cut at any byte, bytes changed, packed bombs, odd encodings.

They answer with a trace or with BadFile, in bounded time, and never with anything else.
"""

import gzip
import json
import random

import numpy as np
import pytest

from flopsight import witness
from flopsight.errors import BadFile
from flopsight.readers import Limits
from flopsight.readers.find import head_of, readers
from flopsight.readers.intel import advisor, unitrace, vtune
from flopsight.readers.likwid import READER as LIKWID
from flopsight.readers.papi import READER as PAPI
from flopsight.readers.perf import READER as PERF
from flopsight.readers.prometheus import READER as PROMETHEUS
from tests.readers import likwid_tables
from tests.readers.places import kept
from tests.readers.test_intel import ADVISOR
from tests.readers.test_papi import NEW

SEEDS = {
    "perf -j": (PERF, kept("perf/kvm_zen5_no_pmu_perf6.1.jsonl").read_bytes()),
    "perf -I": (PERF, kept("perf/kvm_zen5_interval_perf6.1.jsonl").read_bytes()),
    "perf -x": (PERF, kept("perf/kvm_zen5_no_pmu_perf6.1.csv").read_bytes()),
    "likwid -O": (LIKWID, likwid_tables.as_csv(region="r").encode()),
    "likwid": (LIKWID, likwid_tables.as_text().encode()),
    "papi": (PAPI, json.dumps(NEW).encode()),
    "unitrace -t": (unitrace.READER, kept("unitrace/dpc_gemm_t.txt").read_bytes()),
    "unitrace -h": (unitrace.READER, kept("unitrace/dpc_gemm_h.txt").read_bytes()),
    "advisor": (advisor.READER, ADVISOR.encode()),
    "vtune": (vtune.READER, b"Computing Task,Total Time,Instance Count\nf,1.5ms,2\ng,0.1,1\n"),
    "dcgm": (PROMETHEUS, kept("prometheus/t4_busy.prom").read_bytes()),
    "vllm": (PROMETHEUS, kept("prometheus/vllm_begin.prom").read_bytes()),
}
READERS = tuple({id(r): r for r, _ in SEEDS.values()}.values())
names = pytest.mark.parametrize("name", SEEDS)


def survive(reader, data, path):
    path.write_bytes(data)
    head = head_of(path, Limits())
    assert reader.recognises(head) in (True, False)
    try:
        trace = reader.read(path, Limits())
    except BadFile:
        return None
    for one in trace.series:
        assert len(one.times) == len(one.values) > 0
        assert not np.isinf(one.values).any()
        assert one.why or not np.isnan(one.values).any()
    witness.testimonies(trace)
    return trace


@names
def test_seeds_are_recognised_by_their_reader_only(name, tmp_path):
    reader, data = SEEDS[name]
    path = tmp_path / "file"
    path.write_bytes(data)
    head = head_of(path, Limits())
    assert [r.name for r in READERS if r.recognises(head)] == [reader.name]
    assert next(r for r in readers() if r.recognises(head)) is reader


@names
def test_cut_anywhere(name, tmp_path):
    reader, data = SEEDS[name]
    for end in sorted({*range(0, len(data), max(1, len(data) // 60)), *range(max(0, len(data) - 20), len(data))}):
        survive(reader, data[:end], tmp_path / "cut")


@names
def test_bytes_changed(name, tmp_path):
    reader, data = SEEDS[name]
    chance = random.Random(name)
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 2, 8, 40))):
            at = chance.randrange(len(changed))
            changed[at : at + chance.choice((0, 1, 1, 1, 6))] = chance.choice(
                (b"", b"\0", b"\xff", b"9" * 30, b"-1", b"nan", b"1e400", b'"', b"\n", b",", b"{", b"}", b"[", b"\\")
            )
        survive(reader, bytes(changed), tmp_path / "changed")


@names
def test_lines_in_another_order(name, tmp_path):
    reader, data = SEEDS[name]
    chance, lines = random.Random(name), data.split(b"\n")
    for _ in range(6):
        chance.shuffle(lines)
        survive(reader, b"\n".join(lines + lines), tmp_path / "mixed")


@names
def test_other_encodings(name, tmp_path):
    reader, data = SEEDS[name]
    if name in ("papi",):
        pytest.skip("JSON is UTF-8")
    trace = survive(reader, data.replace(b"\n", b"\r\n"), tmp_path / "dos")
    assert trace is not None
    wide = survive(reader, data.decode().encode("utf-16"), tmp_path / "wide")
    assert wide is not None
    assert (len(wide.series), len(wide.kernels)) == (len(trace.series), len(trace.kernels))


@names
def test_packed(name, tmp_path):
    reader, data = SEEDS[name]
    packed = gzip.compress(data * 3)
    for end in range(len(packed) // 2, len(packed), max(1, len(packed) // 20)):
        survive(reader, packed[:end], tmp_path / "packed.gz")


@pytest.mark.parametrize("data", [
    b"{" * 100_000, b'{"counter-value" : "1", "event" : ' + b"[" * 100_000, b'{"papi_version":' + b'{"a":' * 50_000,
    b"DCGM_FI_X{" + b'a="b",' * 50_000, b'DCGM_FI_X{a="' + b"\\" * 100_000 + b'"} 1', b"| " * 100_000,
    b"TABLE,Group 1 Raw,G,5\nEvent" + b",HWThread 0" * 50_000 + b"\n" + b"1," * 50_000, b"1," * 200_000,
    b"Thread 1 Device 2 : " + b"a [ns] 1 (append) " * 20_000, b"\0" * 100_000, b"\xff\xfe" + b"a\0" * 50_000,
    b'{"event" : "a", "counter-value" : "1", "interval" : 1e308}\n', b'{"event":{"a":[1]},"counter-value":[],"cpu":{}}',
    b"S" * 100_000 + b",1,2,3", b"a " * 100_000, (b"a" * 1000 + b"-1,") * 500,
])  # fmt: skip
def test_hostile(data, tmp_path):
    for reader in READERS:
        survive(reader, data, tmp_path / "hostile")


def test_bombs(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"# " + b"x" * (1 << 20) + b"\n", 9) * 70)
    with pytest.raises(BadFile, match="unpacks to more"):
        PROMETHEUS.read(path, Limits(ratio=10))


def test_more_series_than_any_tool_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("flopsight.readers.samples.MOST_SERIES", 1000)
    path = tmp_path / "many"
    path.write_bytes(b"".join(b'DCGM_FI_X{gpu="%d"} 1\n' % (i % 3) for i in range(2000)))
    with pytest.raises(BadFile, match="more than 1,000 series"):
        PROMETHEUS.read(path, Limits())


def test_a_line_without_end(tmp_path):
    path = tmp_path / "line"
    path.write_bytes(b"a" * (18 << 20))
    with pytest.raises(BadFile, match="a line of more than"):
        PROMETHEUS.read(path, Limits())
