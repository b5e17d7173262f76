"""likwid-perfctr: hand-made tables in both forms (no public file of a run was found)."""

import math

import pytest

from flopsight.errors import BadFile
from flopsight.readers import Limits
from flopsight.readers.find import head_of
from flopsight.readers.likwid import READER
from tests.readers import likwid_tables as made

FORMS = pytest.mark.parametrize("form", [made.as_csv, made.as_text])


def read(tmp_path, text):
    path = tmp_path / "likwid.out"
    path.write_text(text)
    assert READER.recognises(head_of(path, Limits()))
    return READER.read(path, Limits())


def value(trace, name, thread):
    (found,) = [s for s in trace.series if s.name == name and s.labels["thread"] == str(thread)]
    return found


@FORMS
def test_counts_and_metrics(tmp_path, form):
    trace = read(tmp_path, form())
    for name, (where, counts) in made.EVENTS.items():
        for thread, count in enumerate(counts):
            one = value(trace, name, thread)
            assert one.values.tolist() == [count]
            assert (one.labels["counter"], one.labels["group"], one.unit) == (where, "FLOPS_SP", "")
    assert value(trace, "Runtime (RDTSC) [s]", 1).values[0] == pytest.approx(made.RUNTIME * 1e9)
    assert value(trace, "Runtime (RDTSC) [s]", 1).unit == "ns"
    assert value(trace, "SP [MFLOP/s]", 0).values[0] == pytest.approx(12010 / made.RUNTIME)
    assert value(trace, "SP [MFLOP/s]", 0).unit == "FLOP/s"
    assert value(trace, "Clock [MHz]", 0).values.tolist() == [2e9]
    clock = value(trace, "Clock [MHz]", 1)
    assert math.isnan(clock.values[0])
    assert clock.why == "likwid says nan"
    assert trace.devices[0].name == "Intel(R) Xeon(R) Platinum 8480+"
    assert trace.devices[0].capability == "Intel SapphireRapids processor"
    assert [u.what for u in trace.unread] == ["sums, minima, maxima and means"]


@FORMS
def test_regions(tmp_path, form):
    trace = read(tmp_path, form(region="gemm") + form(region="softmax"))
    assert {s.labels["region"] for s in trace.series} == {"gemm", "softmax"}


def test_both_forms_say_the_same(tmp_path):
    one, other = read(tmp_path, made.as_csv()), read(tmp_path, made.as_text())
    assert [(s.name, s.unit, dict(s.labels)) for s in one.series] == [
        (s.name, s.unit, dict(s.labels)) for s in other.series
    ]
    assert str([s.values.tolist() for s in one.series]) == str([s.values.tolist() for s in other.series])


def test_volumes_are_bytes(tmp_path):
    trace = read(tmp_path, made.as_csv("MEM", made.MEMORY, made.VOLUMES))
    assert value(trace, "Memory read data volume [GBytes]", 0).values[0] == pytest.approx(64000)
    assert value(trace, "Memory read data volume [GBytes]", 0).unit == "byte"
    assert value(trace, "CAS_COUNT_WR", 1).why == "likwid says -"


def test_no_values(tmp_path):
    with pytest.raises(BadFile, match="no counter of likwid"):
        read(tmp_path, "TABLE,Group 1 Raw,FLOPS_SP,5,\nEvent,Counter,HWThread 0,\n")
