"""Which measured rows are believed: physics first, then host-bound floors; every rejection is counted.

A row of a table is [system, backend, version, format, shape..., seconds]. Rejected are rows

- below light speed: faster than FLOPs over the clock peak or than its weights over the memory's bandwidth,
- in the floor of a host-bound table: a table whose floor stands well over the best floor of the same chip times the
  launch of a process, not of a kernel; what lies near that floor says nothing about the kernel.
Of what remains the geometric mean of the two fastest backends stands for the shape: one lucky run does not.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl

HOST_FLOOR = 8e-6
"""Floors under this many seconds are a kernel's own."""
HOST_RATIO = 1.8
"""A table is host-bound when its floor is over this many times the best of its chip."""
NEAR = 3.0
"""Rows within this many floors of a host-bound table are dropped."""

IDS = {
    "a100_sxm": "nvidia-a100-sxm4-80gb", "h100_sxm": "nvidia-h100-sxm5-80gb", "h200_sxm": "nvidia-h200-sxm-141gb",
    "b200_sxm": "nvidia-b200-sxm", "b300_sxm": "nvidia-b300-sxm", "gb200": "nvidia-gb200-nvl72-gpu",
    "gb300": "nvidia-gb300-nvl72-gpu", "l40s": "nvidia-l40s",
    "rtx_pro_6000_server": "nvidia-rtx-pro-6000-blackwell-server", "b60": "intel-arc-pro-b60",
}  # fmt: skip
"""The measured systems and their records in the catalogue."""


def tables(folder: Path, family: str, columns: list[str], pattern: str = "*") -> pl.DataFrame:
    """Every row of one family of tables, with system, backend and version from its place in the folder."""
    frames = []
    for file in sorted(folder.glob(f"*/{family}/*/*/{pattern}.parquet")):
        system, _, backend, version = file.relative_to(folder).parts[:4]
        if system in IDS:
            named = {"system": system, "table": f"{backend}-{version}"}
            frame = pl.read_parquet(file).select(*columns, pl.col("latency").alias("t") * 1e-3)
            frames.append(frame.with_columns(**{k: pl.lit(v) for k, v in named.items()}))
    return pl.concat(frames)


def not_host_bound(rows: pl.DataFrame, over: list[str], rejected: Counter[str]) -> pl.DataFrame:
    """Rows away from the floors of host-bound tables; `over` names the columns of one chip's formats."""
    kinds = ["system", *over, "table"]
    floors = rows.group_by(kinds).agg(pl.col("t").quantile(0.01).alias("floor"))
    floors = floors.with_columns(pl.col("floor").min().over("system").alias("best"))
    found = rows.join(floors, on=kinds)
    bound = (pl.col("floor") > HOST_FLOOR) & (pl.col("floor") > HOST_RATIO * pl.col("best"))
    near = bound & (pl.col("t") < NEAR * pl.col("floor"))
    rejected["floor of a host-bound table"] += int(found.select(near.sum()).item())
    return found.filter(~near).drop("floor", "best")


def fastest(rows: pl.DataFrame, shape: list[str]) -> pl.DataFrame:
    """The fastest backend of each shape; those that one alone timed are left out where most have two."""
    found = rows.group_by(shape).agg(pl.col("t").min(), pl.col("table").n_unique().alias("tables"))
    several = found.filter(pl.col("tables") > 1)
    chosen = several if 2 * several.height >= found.height else found
    return chosen.drop("tables").sort(shape)


def best_two(rows: pl.DataFrame, shape: list[str]) -> pl.DataFrame:
    """The geometric mean of the two fastest backends of each shape."""
    ordered = pl.col("t").sort().head(2).log().mean().exp()
    return rows.group_by(shape).agg(ordered.alias("t")).sort(shape)
