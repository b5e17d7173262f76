"""Recurrent states: constants and factors by chip, from published timings of delta rules and short convolutions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import tools.calibrate.surfaces as surfaces
from scipy.optimize import least_squares
from tools.calibrate.gates import IDS, best_two
from tools.calibrate.surfaces import Axes, Surface, design, error_of, fit_surface, fold_of, packed

from flopsight.hardware.catalog import find
from flopsight.parts.conv import Conv
from flopsight.parts.gated_delta import GatedDelta
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels.state import PLAIN, classes_of, physical
from flopsight.predict.tasks import Other
from flopsight.workload import Work

AXES: Final = Axes(
    (0.67, 1.5, 32, 128, 512, 2048, 8192, 32768, 131072),
    tuple(2.0**n for n in (*range(12, 22, 2), *range(22, 31), 33)),
    (0.5, 2, 8, 32, 128),
)
SMOOTH: Final = (0.2, 0.1, 0.2)
LOW: Final = (5e-7, 0.01, 0.05)
HIGH: Final = (2e-5, 1.0, 1.2)
KINDS: Final = "^(causal_conv1d_fn|causal_conv1d_update|chunk|fused_recurrent)"
STEPS: Final = ("causal_conv1d_update", "fused_recurrent")
PADDED: Final = 64
"""Tokens of a sequence below which a chunk is mostly padding: such prompts are not fitted."""
PROTOCOL: Final = (
    "Three constants by soft least squares in log time, then log2 of measured over that as a smooth trilinear surface; "
    "the geometric mean of the two fastest tables of a shape. One block in five (heads, batch) left out for the errors "
    "[median, 90th percentile, bias, spread, rows], then all is fitted. A class is fitted on its chips together and "
    "judged on a chip left out. FLOPs and bytes are those the ledger counts: states in the cache's format."
)

Calls = dict[str, np.ndarray]


def run(folder: Path) -> dict[str, Any]:
    """The coefficients of every chip and class."""
    rejected: Counter[str] = Counter()
    found = dict(_calls(folder, rejected))
    chips = {IDS[s]: _stored(*_fit([one])) for s, one in found.items()}
    error = {IDS[s]: _judged(d, c, *_fit([(d, _take(c, c["fold"] != 0))])) for s, (d, c) in found.items()}
    classes: dict[str, Any] = {}
    left_out: dict[str, Any] = {}
    for name in sorted({n for device, _ in found.values() for n in classes_of(device)}):
        members = {s: one for s, one in found.items() if name in classes_of(one[0])}
        classes[name] = _stored(*_fit(list(members.values())))
        for system, (device, calls) in members.items():
            if len(members) > 1:
                others = [one for s, one in members.items() if s != system]
                left_out[f"{IDS[system]} from {name}"] = _judged(device, calls, *_fit(others), fold=None)
    return {
        "source": "aiconfigurator-core 0.12.0, systems/data/*/linear_attention (Apache-2.0)", "protocol": PROTOCOL,
        "axes": [list(AXES.m), list(AXES.n), list(AXES.k)], "chips": chips, "classes": classes, "error": error,
        "error_of_chips_left_out": left_out, "rejected": dict(rejected),
    }  # fmt: skip


def _fit(group: list[tuple[Device, Calls]]) -> tuple[tuple[float, ...], Surface]:
    def off(x: np.ndarray) -> np.ndarray:
        return np.concatenate([np.log(_plain(d, c, np.exp(x)) / c["t"])[::3] for d, c in group])

    found = least_squares(off, np.log(PLAIN), bounds=(np.log(LOW), np.log(HIGH)), loss="soft_l1", f_scale=0.2)
    constants = tuple(float(f"{v:.3g}") for v in np.exp(found.x))
    y = np.concatenate([np.log2(c["t"] / _plain(d, c, constants)) for d, c in group])
    surfaces.SMOOTH = SMOOTH
    return constants, fit_surface(AXES, _design({k: np.concatenate([c[k] for _, c in group]) for k in "xyz"}), y)


def _plain(device: Device, calls: Calls, constants: Any) -> np.ndarray:
    return np.asarray(physical(device, "bf16", tuple(constants), calls["flops"], calls["y"]))


def _design(calls: Calls) -> Any:
    return design(AXES, calls["x"], calls["y"], calls["z"])


def _judged(
    device: Device, calls: Calls, constants: tuple[float, ...], over: Surface, fold: int | None = 0
) -> list[float]:
    left = calls if fold is None else _take(calls, calls["fold"] == fold)
    found = error_of(_plain(device, left, constants) * np.exp2(_design(left) @ over.values.ravel()), left["t"])
    return [found[name] for name in ("median", "p90", "bias", "spread", "n")]


def _stored(constants: tuple[float, ...], over: Surface) -> list[Any]:
    return [*constants, packed(over)]


def _take(calls: Calls, keep: np.ndarray) -> Calls:
    return {name: values[keep] for name, values in calls.items()}


# ------------------------------------------------------------ rows


def _calls(folder: Path, rejected: Counter[str]) -> Iterator[tuple[str, tuple[Device, Calls]]]:
    shape = ["kernel", "batch_size", "seq_len", "num_k_heads", "num_v_heads"]
    for system in IDS:
        files = sorted(folder.glob(f"data/{system}/linear_attention/*/*/gdn_perf.parquet"))
        if not files:
            continue
        kernel = pl.col("kernel_source").str.extract(KINDS).alias("kernel")
        time = (pl.col("latency") * 1e-3).alias("t")
        tables = [pl.read_parquet(f).select(kernel, *shape[1:], time, table=pl.lit(f.parts[-3])) for f in files]
        rows = pl.concat(tables).group_by(*shape, "table").agg(pl.col("t").median())
        padded = ~pl.col("kernel").is_in(STEPS) & (pl.col("seq_len") < PADDED)
        rejected["prompts shorter than a chunk"] += int(rows.select(padded.sum()).item())
        rows = best_two(rows.filter(~padded), shape)
        device = device_of(find(IDS[system]))
        calls = _amounts(rows)
        light = np.maximum(calls["flops"] / device.rate("bf16"), (calls["y"] - 3 * device.l2) / device.bandwidth)
        rejected["faster than light speed"] += int((light > calls["t"]).sum())
        yield system, (device, _take(calls, light <= calls["t"]))


def _amounts(rows: pl.DataFrame) -> Calls:
    """What the ledger counts of every row."""
    found: list[tuple[Any, ...]] = []
    for kernel, b, q, k, v in rows.select("kernel", "batch_size", "seq_len", "num_k_heads", "num_v_heads").iter_rows():
        short, step = kernel.startswith("causal"), kernel in STEPS
        channels = 128 * (2 * k + v)
        part: Any = Conv("mixer", channels, channels, (4,), groups=channels, causal=True)
        kernel_ = Other(part if short else GatedDelta(v, 128, 128), 1.0, "bf16", 16.0, 16.0)
        a = kernel_.amounts(Work(b, q, past=int(step), absorbed=step))
        found.append((a.flops, a.cache, a.cache + a.other, short + 2 * v + 1000 * b))
    flops, state, moved, block = (np.array(v, float) for v in zip(*found, strict=True))
    x = {"x": flops / state, "y": moved, "z": flops / moved}
    return {**x, "flops": flops, "t": rows["t"].to_numpy(), "fold": fold_of(block)}
