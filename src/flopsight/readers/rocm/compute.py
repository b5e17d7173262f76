"""Workloads of the ROCm compute profiler: counters of each dispatch, wide or long, with the machine's facts beside.

Traps of real files: times printed as 8.1097E+14, so that start and end are the same (the duration is not known then);
channels as columns of their own ("TCC_HIT[0]"), which are added up; BeginNs or Start_Timestamp; names that end in
"(.kd)" or "[clone .kd]".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopsight.readers.limits import Limits
from flopsight.readers.reader import Head
from flopsight.readers.rocm.cells import header_of, rows
from flopsight.readers.rocm.csvs import number
from flopsight.readers.rocm.rows import Dispatch, Rows, blocks, times, whole
from flopsight.trace import Device, Trace

FACTS: Final = frozenset(
    word
    for words in (
        "Dispatch_ID GPU_ID Grid_Size Workgroup_Size LDS_Per_Workgroup Scratch_Per_Workitem Arch_VGPR Accum_VGPR",
        "SGPR Wave_Size wave_size obj Kernel_Name KernelName Correlation_ID Kernel_ID Start_Timestamp End_Timestamp",
        "BeginNs EndNs queue-id queue-index pid tid sig DispatchNs CompleteNs XCC_Index Counter_Name Counter_Value",
        "Index lds scr arch_vgpr accum_vgpr sgpr gpu-id grd wgp",
    )
    for word in words.split()
)
REPEATED: Final = re.compile(r"_\d+$")
CHANNEL: Final = re.compile(r"\[\d+\]$")
CLONE: Final = re.compile(r"\s*(?:\[clone \.kd\]|\(\.kd\)|\.kd)$")
KEY: Final = frozenset({"Dispatch_ID", "GPU_ID"})
PEAKS: Final = re.compile(r"(Bw|Flops|Ops)$")


@dataclass(frozen=True, slots=True)
class Compute:
    """rocprof-compute profile."""

    name: str = "rocprof-compute"
    title: str = "ROCm compute profiler workloads (pmc_perf.csv, or the folder)"

    def recognises(self, head: Head) -> bool:
        """A folder with pmc_perf.csv, or a file with its columns."""
        if head.files:
            return any(name.startswith("pmc_perf.csv") for name in head.files)
        return header_of(head.text) >= KEY

    def read(self, path: Path, limits: Limits) -> Trace:
        """All dispatches with all counters."""
        found = Rows()
        folder = path if path.is_dir() else path.parent
        _machine(found, folder, limits, own=path.is_dir())
        places = sorted(_counters(path)) if path.is_dir() else [path]
        for place in places:
            for row in rows(place, limits):
                _take(found, row)
        if any(d.end < d.start for d in found.dispatches):
            found.notes.append(
                "Start and end of some dispatches are printed as the same time: their durations are unknown."
            )
        return found.trace(path, "rocprof-compute")


def _counters(folder: Path) -> list[Path]:
    """Files with counters: the merged one where it is, and timestamps."""
    named = [p for p in folder.iterdir() if p.name.startswith(("pmc_perf.csv", "timestamps.csv"))]
    return named or [p for p in folder.iterdir() if p.suffix == ".csv" and p.stem.startswith(("SQ_", "pmc_"))]


def _take(found: Rows, row: Mapping[str, str]) -> None:
    start, end = times(row.get("Start_Timestamp", row.get("BeginNs")), row.get("End_Timestamp", row.get("EndNs")))
    group, items = whole(row.get("Workgroup_Size", row.get("wgp"))), whole(row.get("Grid_Size", row.get("grd")))
    name = CLONE.sub("", row.get("Kernel_Name", row.get("KernelName", "")))
    gpu = row.get("GPU_ID", row.get("gpu-id", ""))
    at = found.add(
        Dispatch(name, start, end, gpu, grid=blocks((items, 1, 1), (group, 1, 1)), block=(group, 1, 1)),
        (gpu, row.get("Dispatch_ID", row.get("Index"))),
    )  # fmt: skip
    if "Counter_Name" in row:
        _count(found, at, row["Counter_Name"], row.get("Counter_Value"))
        return
    for column, cell in row.items():
        if column not in FACTS and REPEATED.sub("", column) not in FACTS:
            total = f"{CHANNEL.sub('', column)}_sum"
            _count(found, at, column, cell, "" if total in row else total)


def _count(found: Rows, at: int, name: str, cell: str | None, total: str = "") -> None:
    value = number(cell)
    if value is None:
        found.lost["counters without a number"] += 1
        return
    found.count(name, at, value)
    if total and CHANNEL.search(name):
        found.count(total, at, value)


def _machine(found: Rows, folder: Path, limits: Limits, *, own: bool) -> None:
    """sysinfo.csv and roofline.csv of the same folder; a lone file is not taken to belong to its neighbours."""
    place = folder / "sysinfo.csv"
    if not own or not place.is_file():
        return
    for facts in rows(place, limits):
        found.devices[""] = _device(facts)
    peaks = folder / "roofline.csv"
    if peaks.is_file():
        first: dict[str, Any] = next(iter(rows(peaks, limits)), {})
        found.marks["measured_peaks"] = {
            k: v for k, c in first.items() if PEAKS.search(k) and (v := number(c)) is not None
        }


def _device(facts: Mapping[str, str]) -> Device:
    properties: dict[str, float | str] = {"gfx": facts.get("gpu_arch", "")}
    for key, column, scale in (
        ("max_clock_hz", "max_sclk", 1e6), ("xcds", "num_xcd", 1), ("l2_channels", "total_l2_chan", 1),
        ("memory_bytes_per_s", "hbm_bw", 1e9), ("simds_per_unit", "simd_per_cu", 1),
    ):  # fmt: skip
        value = number(facts.get(column))
        if value is not None:
            properties[key] = value * scale
    units = whole(facts.get("cu_per_gpu"))
    return Device(0, "", "amd", units if units > 0 else None, None, facts.get("gpu_arch", ""),
                  {**properties, "model": facts.get("gpu_model", "")})  # fmt: skip


READER: Final = Compute()
