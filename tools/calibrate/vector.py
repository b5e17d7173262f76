"""Coefficients of memory-moving kernels, from the quantization tables of aiconfigurator-core.

The kernel reads a matrix in 16 bits and writes it in 8: three bytes an element, no product. Every other width is left
out of a first fit, to measure the error; classes are tested on devices that are left out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from scipy.optimize import least_squares

from flopsight.hardware.catalog import chips as all_chips
from flopsight.hardware.catalog import find
from flopsight.predict.device import device_of
from flopsight.predict.kernels.vector import Stream, memory_kind

CHIPS: Final = {
    "h100_sxm": "nvidia-h100-sxm5-80gb", "h200_sxm": "nvidia-h200-sxm-141gb", "b200_sxm": "nvidia-b200-sxm",
    "b300_sxm": "nvidia-b300-sxm", "gb200": "nvidia-gb200-nvl72-gpu", "gb300": "nvidia-gb300-nvl72-gpu",
    "l40s": "nvidia-l40s", "rtx_pro_6000_server": "nvidia-rtx-pro-6000-blackwell-server",
}  # fmt: skip
SOURCE: Final = "aiconfigurator-core 0.12.0 (Apache-2.0), scale_matrix tables of TensorRT-LLM and vLLM"
PROTOCOL: Final = (
    "Casts of m x k matrices from 16 to 8 bits, 3 bytes an element, k of 512 and more, both engines pooled; least "
    "squares of soft log errors. `left_out`: fitted on every other k, measured on the rest. `classes`: devices "
    "predicted by the mean of others (of their kind of memory and family, else of the kind). start in microseconds, "
    "memory a share of the bandwidth, near the cache's rate over that, fits in MB, keeps = fits / last cache. "
    "spread = p90 / 1.645."
)
BYTES: Final = 3
NARROW: Final = 512
FLOOR: Final = 0.05
BORROWED: Final = 0.20
TESTS: Final = ("hbm_read", "hbm_copy_scale", "hbm_triad", "hbm_write", "stream_read_like")


@dataclass(frozen=True)
class Rows:
    """Calls of one device, as arrays."""

    moved: Any
    seconds: Any
    odd: Any

    def where(self, mask: Any) -> Rows:
        """Some of them."""
        return Rows(self.moved[mask], self.seconds[mask], self.odd[mask])


def run(folder: Path) -> dict[str, Any]:
    """The content of vector.json from the folder `systems` of the package."""
    rejected: Counter[str] = Counter()
    rows = {chip: _rows(folder, system, chip, rejected) for system, chip in CHIPS.items()}
    chips: dict[str, Any] = {chip: _fit(chip, each) for chip, each in rows.items()}
    left = {chip: _summary(_logs(chip, _fit(chip, each.where(~each.odd)), each.where(each.odd)))
            for chip, each in rows.items()}  # fmt: skip
    for chip, each in chips.items():
        each["spread"] = max(FLOOR, left[chip]["p90"] / 1.645)
    classes, tested = _classes(chips), _tested(chips, rows)
    for name, one in classes.items():
        one["spread"] = max(BORROWED, tested.get(name, tested[name.split()[0]])["p90"] / 1.645)
    return _rounded({
        "source": SOURCE, "protocol": PROTOCOL, "error": {"left_out": left, "classes": tested},
        "rejected": dict(rejected), "chips": chips, "classes": classes, "published": _published(),
    })  # fmt: skip


def _rows(folder: Path, system: str, chip: str, rejected: Counter[str]) -> Rows:
    device = device_of(find(chip))
    tables = [pl.read_parquet(sorted(folder.glob(f"data/{system}/quantize/{e}/*/scale_matrix_perf.parquet"))[-1])
              for e in ("trtllm", "vllm")]  # fmt: skip
    slow = sum(pl.read_parquet(p).height for p in folder.glob(f"data/{system}/quantize/sglang/*/scale_matrix*.parquet"))
    rejected["another kernel under the name, ten times slower than memory allows"] += slow
    table = pl.concat([t.select("m", "k", "latency") for t in tables]).sort("k", "m", "latency")
    rejected["rows narrower than a model's"] += table.filter(pl.col("k") < NARROW).height
    table = table.filter(pl.col("k") >= NARROW)
    moved = BYTES * (table["m"] * table["k"]).to_numpy().astype(float)
    seconds = table["latency"].to_numpy() / 1e3
    cached = 3 * (device.l2 or 130e6)
    possible = (seconds > 0) & ((moved < cached) | (moved / np.maximum(seconds, 1e-12) <= device.bandwidth))
    rejected["faster than the memory, beyond any cache"] += int((~possible).sum())
    widths = {k: i for i, k in enumerate(sorted(set(table["k"].to_list())))}
    odd = np.array([widths[k] % 2 == 1 for k in table["k"].to_list()])
    return Rows(moved, seconds, odd).where(possible)


def _stream(chip: str, one: dict[str, float]) -> Stream:
    memory = one["memory"] * device_of(find(chip)).bandwidth
    return Stream(one["start"] * 1e-6, one["bend"], memory, one["near"] * memory, one["fits"] * 1e6)


NAMES: Final = ("start", "bend", "memory", "near", "fits")


def _fit(chip: str, rows: Rows) -> dict[str, float]:
    """The best of several starts: the cache's edge makes the loss uneven."""
    low, high = [0.3, 0.0, 0.2, 1.0, 0.0], [10.0, 1.0, 0.98, 12.0, 130.0]
    scale = np.array([2.0, 0.2, 0.8, 3.0, 40.0])

    def away(q: Any) -> Any:
        found = _stream(chip, dict(zip(NAMES, q * scale, strict=True))).seconds(rows.moved)
        return np.log(found / rows.seconds)

    tries = [
        least_squares(away, np.array([2.0, 0.1, 0.85, near, fits]) / scale, loss="soft_l1", f_scale=0.1,
                      bounds=(low / scale, high / scale))
        for near in (1.5, 4.0) for fits in (5.0, 20.0, 60.0, 100.0)
    ]  # fmt: skip
    best = min(tries, key=lambda found: found.cost)
    return dict(zip(NAMES, map(float, best.x * scale), strict=True))


def _classes(chips: dict[str, Any]) -> dict[str, Any]:
    """Means by kind of memory and family, and those of the kinds."""
    groups: dict[str, list[dict[str, float]]] = defaultdict(list)
    for chip, each in chips.items():
        device = device_of(find(chip))
        groups[_name(chip)].append({**each, "keeps": each["fits"] * 1e6 / (device.l2 or 130e6)})
    found = {name: _mean(each) for name, each in groups.items()}
    kinds = {name.split()[0] for name in found}
    return {**found, **{kind: _mean([e for n, e in found.items() if n.split()[0] == kind]) for kind in sorted(kinds)}}


def _name(chip: str) -> str:
    device = device_of(find(chip))
    return f"{memory_kind(device)} {device.family}"


def _mean(found: list[dict[str, float]]) -> dict[str, float]:
    keys = ("start", "bend", "memory", "near", "keeps")
    return {key: sum(each[key] for each in found) / len(found) for key in keys}


def _tested(chips: dict[str, Any], rows: dict[str, Rows]) -> dict[str, Any]:
    """Errors of devices predicted without themselves, by family, and of families without themselves."""
    logs: dict[str, list[Any]] = defaultdict(list)
    for chip in chips:
        name = _name(chip)
        kind = name.split()[0]
        others = _classes({c: e for c, e in chips.items() if c != chip})
        strangers = _classes({c: e for c, e in chips.items() if _name(c) != name})
        if name in others:
            logs[name].append(_logs(chip, _lent(chip, others[name]), rows[chip]))
        if kind in strangers:
            logs[kind].append(_logs(chip, _lent(chip, strangers[kind]), rows[chip]))
    return {name: _summary(np.concatenate(each)) for name, each in logs.items()}


def _lent(chip: str, one: dict[str, float]) -> dict[str, float]:
    return {**one, "fits": one["keeps"] * device_of(find(chip)).l2 / 1e6}


def _logs(chip: str, one: dict[str, float], rows: Rows) -> Any:
    return np.log(_stream(chip, one).seconds(rows.moved) / rows.seconds)


def _published() -> dict[str, float]:
    """Shares of the bandwidth that the catalogue's published memory tests reached: the mean of a chip's."""
    found = {}
    for chip in all_chips():
        each = [m.bandwidth / chip.record.memory.bandwidth if m.bandwidth else m.fraction for m in chip.record.measured
                if m.metric in TESTS or m.metric == "hbm_fraction_range"]  # fmt: skip
        shares = [share for share in each if share and share <= 1.0]
        if shares and chip.id not in CHIPS.values():
            found[chip.id] = sum(shares) / len(shares)
    return found


def _summary(logs: Any) -> dict[str, Any]:
    away = np.abs(logs)
    return {"median": float(np.median(away)), "p90": float(np.quantile(away, 0.9)), "n": len(away),
            "bias": math.exp(float(np.median(logs)))}  # fmt: skip


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return float(f"{value:.3g}") if isinstance(value, float) else value
