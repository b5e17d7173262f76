"""PAPI's high-level output, hand-made after papi_hl.c (no public file of a run was found)."""

import json
import math

import pytest

from flopsight.errors import BadFile
from flopsight.readers import Limits
from flopsight.readers.find import head_of
from flopsight.readers.papi import READER

NEW = {
    "papi_version": "7.2.0.0", "cpu_info": "AMD EPYC 9654 96-Core Processor", "max_cpu_rate_mhz": "3708",
    "min_cpu_rate_mhz": "1500", "event_definitions": {
        "PAPI_SP_OPS": {"component": "perf_event", "type": "delta"},
        "PAPI_DP_OPS": {"component": "perf_event", "type": "delta"},
    },
    "threads": {
        "0": {"regions": {
            "0": {"name": "step", "parent_region_id": "-1", "cycles": "1000", "real_time_nsec": "500",
                  "PAPI_SP_OPS": "300", "PAPI_DP_OPS": {"region_value": "40", "read_1": "15", "read_2": "40"}},
            "1": {"name": "gemm", "parent_region_id": "0", "cycles": "800", "real_time_nsec": "400",
                  "PAPI_SP_OPS": "250", "PAPI_DP_OPS": "0"},
        }},
        "1": {"regions": {
            "0": {"name": "step", "parent_region_id": "-1", "cycles": "900", "real_time_nsec": "450",
                  "PAPI_SP_OPS": "100", "PAPI_DP_OPS": "x"},
        }},
    },
}  # fmt: skip
OLD = {
    "papi_version": "6.0.0.1", "cpu_info": "Intel(R) Xeon(R) CPU", "threads": [
        {"id": "7", "regions": [{"calc": {"region_count": "2", "cycles": "10", "real_time_nsec": "5",
                                          "PAPI_FP_OPS": "64"}}]},
    ],
}  # fmt: skip


def read(tmp_path, content):
    path = tmp_path / "rank_000000.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    assert READER.recognises(head_of(path, Limits()))
    return READER.read(path, Limits())


def value(trace, name, thread, region):
    (found,) = [s for s in trace.series if (s.name, s.labels["thread"], s.labels["region"]) == (name, thread, region)]
    return found


def test_regions_of_threads(tmp_path):
    trace = read(tmp_path, NEW)
    assert value(trace, "PAPI_SP_OPS", "0", "gemm").values.tolist() == [250.0]
    assert value(trace, "PAPI_SP_OPS", "0", "gemm").labels["parent"] == "0"
    assert value(trace, "PAPI_DP_OPS", "0", "step").values.tolist() == [40.0]
    assert value(trace, "real_time_nsec", "1", "step").unit == "ns"
    odd = value(trace, "PAPI_DP_OPS", "1", "step")
    assert math.isnan(odd.values[0])
    assert "x" in odd.why
    assert trace.devices[0].name == "AMD EPYC 9654 96-Core Processor"
    assert {u.what: u.count for u in trace.unread} == {
        "values read inside of regions": 2, "values that are no numbers": 1,
    }  # fmt: skip


def test_older_files(tmp_path):
    trace = read(tmp_path, OLD)
    assert value(trace, "PAPI_FP_OPS", "7", "calc").values.tolist() == [64.0]


@pytest.mark.parametrize("content", ['{"papi_version":"7", "threads":{}}', '{"papi_version":"7", "threads":{"0":'])
def test_nothing_to_read(tmp_path, content):
    with pytest.raises(BadFile):
        read(tmp_path, content)
