"""Small files of traces, for mutation to start from; imports nothing of flopsight, so that it can be instrumented."""

from __future__ import annotations

import gzip
from pathlib import Path

KEPT = Path(__file__).parents[1] / "data" / "traces"
READERS = {
    "chakra": ("chakra/a100_simple_add_et.json.gz",),
    "chrome": ("chrome/tpu_by_hand.trace.json.gz",),
    "intel.advisor": ("intel/advisor_by_hand.csv",),
    "intel.unitrace": ("unitrace/dpc_gemm_t.txt", "unitrace/dpc_gemm_h.txt"),
    "intel.vtune": ("intel/vtune_by_hand.csv",),
    "kineto": ("kineto/a100_event_sync.json.gz", "kineto/a100_triton_example.json.gz"),
    "likwid": ("likwid/by_hand.csv", "likwid/by_hand.txt"),
    "ncu": ("ncu/by_hand.ncu-rep", "ncu/by_hand_raw.csv", "ncu/by_hand_details.csv", "ncu/by_hand_summary.csv"),
    "nsys": ("nsys/by_hand.sqlite.gz",),
    "papi": ("papi/by_hand.json", "papi/by_hand_old.json"),
    "perf": ("perf/kvm_zen5_no_pmu_perf6.1.jsonl", "perf/kvm_zen5_no_pmu_perf6.1.csv"),
    "prometheus": ("prometheus/t4_busy.prom", "prometheus/metrics_mini.prom"),
    "rocm.csvs": ("rocm/kernel_trace.csv", "rocm/counter_collection.csv"),
    "xplane": ("xplane/tpu_by_hand.xplane.pb.gz",),
}
"""Module of flopsight.readers -> files under tests/data/traces, some kilobytes each. One line a reader."""


def seeds(name: str) -> tuple[bytes, ...]:
    """The contents of its files, unpacked."""
    found = (KEPT / one for one in READERS[name])
    return tuple(gzip.decompress(one.read_bytes()) if one.suffix == ".gz" else one.read_bytes() for one in found)


if __name__ == "__main__":
    print("\n".join(READERS))
