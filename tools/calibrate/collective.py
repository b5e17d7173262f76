"""Coefficients of collectives, from the communication tables of aiconfigurator-core.

For each device and kind of collective: a start, so much more a round, and for each count of ranks the share of the
links and the price of filling a pipeline. Every other octave of sizes is left out of a first fit, to measure the error;
the numbers that ship are fitted on all. Classes are means over families, and tested on a device that is left out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from scipy.optimize import least_squares

from flopsight.hardware.catalog import find
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels import collective

CHIPS: Final = {
    "a100_sxm": "nvidia-a100-sxm4-80gb", "h100_sxm": "nvidia-h100-sxm5-80gb", "h200_sxm": "nvidia-h200-sxm-141gb",
    "b200_sxm": "nvidia-b200-sxm", "b300_sxm": "nvidia-b300-sxm", "gb200": "nvidia-gb200-nvl72-gpu",
    "gb300": "nvidia-gb300-nvl72-gpu", "l40s": "nvidia-l40s",
    "rtx_pro_6000_server": "nvidia-rtx-pro-6000-blackwell-server", "b60": "intel-arc-pro-b60",
}  # fmt: skip
SOURCE: Final = "aiconfigurator-core 0.12.0 (Apache-2.0), tables of NCCL, oneCCL, engines' all-reduces and DeepEP"
PROTOCOL: Final = (
    "start + 2·bend·sqrt(start·each·S) + each·S per device, kind and ranks, least squares of soft log errors on the "
    "newest library; engines' all-reduces of the newest TensorRT-LLM, vLLM and SGLang in graphs, pooled. `left_out`: "
    "fitted on even octaves of size, measured on odd ones. `classes`: each device predicted by its class without the "
    "device's family (of a fabric) or without the device (of a family). spread = p90 of |log error| / 1.645; `shared`: "
    "what errors of a device and kind have in common. Start in microseconds, hop a round more; rates over the one-way "
    "links. What a device lacks is borrowed from its class. Networks: rate and start from DeepEP between 2, 4 and 8 "
    "nodes of H100; hop and trees assumed. Meshes: rates from published busbw of MI300X; tori assumed."
)
KINDS: Final = {"all_reduce": "all_reduce", "all_gather": "all_gather", "reduce_scatter": "reduce_scatter",
                "alltoall": "all_to_all"}  # fmt: skip
WIDTHS: Final = {"half": 2, "bfloat16": 2, "int8": 1, "float": 4}
MOST: Final = 4 * 2**20
"""Bytes to which engines' own kernels are fitted; above, they call the library."""
FLOOR: Final = 0.05
BORROWED: Final = 0.20
"""Least spread of a class: the next laboratory's machine differs."""
ASSUMED: Final = 0.35
"""Spread of a class of one device, and of meshes and tori, where nothing can be left out."""


@dataclass(frozen=True)
class Point:
    """One measured call; source is the algorithm's family (library, one engine, low-latency, high-throughput)."""

    chip: str
    source: str
    kind: str
    ranks: int
    size: float
    seconds: float

    @property
    def odd(self) -> bool:
        """Whether its octave of size is left out of the first fit."""
        return round(math.log2(self.size)) % 2 == 1


def run(folder: Path) -> dict[str, Any]:
    """The content of collective.json from the folder `systems` of the package."""
    rejected: Counter[str] = Counter()
    found = [p for p in points(folder, rejected) if _possible(p, rejected)]
    chips = {chip: _fitted([p for p in found if p.chip == chip]) for chip in CHIPS.values()}
    halves = {chip: _fitted([p for p in found if p.chip == chip and not p.odd]) for chip in CHIPS.values()}
    classes = _classes(chips)
    for chip in chips:
        _borrow(device_of(find(chip)), chips[chip], classes)
        _borrow(device_of(find(chip)), halves[chip], classes)
    network = _network(folder)
    error = _errors(found, chips, halves, classes, network)
    for chip, each in chips.items():
        each["spread"] = _spread(error["left_out"][chip].values(), FLOOR)
    for name, each in classes.items():
        each["spread"] = error["classes"].get(name, {}).get("spread", ASSUMED)
    return _rounded({
        "source": SOURCE, "protocol": PROTOCOL, "error": error, "rejected": dict(rejected), "chips": chips,
        "classes": classes, "network": network,
    })  # fmt: skip


# ------------------------------------------------------------ reading


def points(folder: Path, rejected: Counter[str]) -> Iterator[Point]:
    """Every call of the newest tables, in bytes and seconds."""
    for system, chip in CHIPS.items():
        comm = folder / "data" / system / "comm"
        for name in ("nccl", "oneccl"):
            if path := _newest(comm / name, f"{name}_perf.parquet"):
                yield from _library_rows(path, chip)
        for engine in ("trtllm", "vllm", "sglang"):
            if path := _newest(comm / engine, "custom_allreduce_perf.parquet"):
                yield from _engine_rows(path, chip, engine, rejected)
        yield from _expert_rows(comm / "sglang", chip)


def _newest(folder: Path, name: str) -> Path | None:
    """The file of the highest version."""
    found = sorted(folder.glob(f"*/{name}"), key=lambda p: [int(n) if n.isdigit() else 0 for n in _digits(p)])
    return found[-1] if found else None


def _digits(path: Path) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in path.parent.name).split()


def _library_rows(path: Path, chip: str) -> Iterator[Point]:
    table = pl.read_parquet(path).filter(pl.col("nccl_dtype") == "half")
    keys = ["op_name", "num_gpus", "message_size"]
    for op, ranks, count, ms in table.group_by(keys).agg(pl.col("latency").median()).sort(keys).iter_rows():
        yield Point(chip, "library", KINDS[op], ranks, 2.0 * count, ms / 1e3)


def _engine_rows(path: Path, chip: str, engine: str, rejected: Counter[str]) -> Iterator[Point]:
    table = pl.read_parquet(path)
    eager = table["kernel_source"].str.contains("eager")
    rejected["engine all-reduce launched from the host, not in a graph"] += int(eager.sum())
    for row in table.filter(~eager).sort(["num_gpus", "message_size", "kernel_source"]).iter_rows(named=True):
        size = WIDTHS[row["allreduce_dtype"]] * row["message_size"]
        if engine != "trtllm" and row["framework"].lower() != engine:
            rejected["engine all-reduce copied from another engine"] += 1
        elif engine != "trtllm" and row["num_gpus"] > (4 if "nvl72" in chip else 8):
            rejected["engine all-reduce over several hosts, served by the library"] += 1
        else:
            yield Point(chip, engine, "all_reduce", row["num_gpus"], float(size), row["latency"] / 1e3)


def _expert_rows(folder: Path, chip: str) -> Iterator[Point]:
    """DeepEP inside one node: dispatch in 8 bits, combine in 16; a rank's own share is in the size."""
    ranks = 4 if "nvl72" in chip else 8
    for name, source in (("ll", "low-latency"), ("normal", "high-throughput")):
        path = _newest(folder, f"wideep_deepep_{name}_perf.parquet")
        if path is None:
            continue
        table = pl.read_parquet(path).filter(pl.col("node_num") == 1)
        if name == "normal":
            table = table.filter((pl.col("dispatch_sms") == 20) & (pl.col("combine_sms") == 20))
        for row in table.sort(["num_experts", "num_topk", "hidden_size", "num_token"]).iter_rows(named=True):
            if row["num_topk"] < 4 or row["num_topk"] > 8:
                continue
            for phase, width in (("dispatch", 1), ("combine", 2)):
                size = row["num_token"] * row["hidden_size"] * min(row["num_topk"], ranks) * width
                us = row[f"{phase}_avg_t_us"] if name == "ll" else row[f"{phase}_transmit_us"]
                yield Point(chip, source, "all_to_all", ranks, float(size), us / 1e6)


def _possible(p: Point, rejected: Counter[str]) -> bool:
    """Whether bytes over links allow it; experts' exchanges send a token once to a device, so half their size."""
    least = collective.bound(device_of(find(p.chip)), _kind(p.kind), p.size, p.ranks)  # type: ignore[arg-type]
    if p.source in ("low-latency", "high-throughput"):
        least *= 0.5
    if p.seconds < least:
        rejected[f"{p.source} faster than the links"] += 1
    return p.seconds >= least


def _kind(kind: str) -> str:
    return kind


# ------------------------------------------------------------ fits


def _fit(model: Callable[[Any], Any], seconds: Any, start: list[float], low: list[float], high: list[float]) -> Any:
    """Least squares of soft log errors."""
    found = least_squares(
        lambda p: np.log(model(p) / seconds), np.clip(start, low, high), bounds=(low, high), loss="soft_l1", f_scale=0.1
    )
    return found.x


def _fitted(rows: list[Point]) -> dict[str, Any]:
    """All numbers of one device."""
    device = device_of(find(rows[0].chip))
    kinds = {kind: _library_fit(device, kind, [p for p in rows if p.source == "library" and p.kind == kind])
             for kind in KINDS.values() if any(p.source == "library" and p.kind == kind for p in rows)}  # fmt: skip
    found: dict[str, Any] = {"library": kinds}
    own = [p for p in rows if p.source in ("trtllm", "vllm", "sglang") and p.size <= MOST]
    if own:
        found["custom"] = _custom_fit(device, kinds["all_reduce"], own)
    for name in ("low-latency", "high-throughput"):
        if each := [p for p in rows if p.source == name]:
            found.setdefault("experts", {})[name] = _expert_fit(device, each)
    return found


def _library_fit(device: Device, kind: str, rows: list[Point]) -> dict[str, Any]:
    """start, hop, and at each count of ranks rate and bend."""
    counts = sorted({p.ranks for p in rows})
    size, seconds = np.array([p.size for p in rows]), np.array([p.seconds for p in rows])
    which = np.array([counts.index(p.ranks) for p in rows])
    steps = np.array([collective.rounds(kind, p.ranks) for p in rows])  # type: ignore[arg-type]
    names = [collective.algorithm(device, kind, n) for n in counts]  # type: ignore[arg-type]
    x = np.array([collective.traffic(a, kind, n) for a, n in zip(names, counts, strict=True)])  # type: ignore[arg-type]
    k = len(counts)

    def model(p: Any) -> Any:
        first, each = (p[0] + p[1] * steps) * 1e-6, x[which] / (device.link * np.exp(p[2 : 2 + k][which]))
        return first + 2 * p[2 + k :][which] * np.sqrt(first * each * size) + each * size

    start = [5.0, 1.0] + [math.log(0.6)] * k + [0.5] * k
    p = _fit(model, seconds, start, [0.3, 0.0] + [-4.0] * k + [0.0] * k, [40.0, 8.0] + [0.0] * k + [2.0] * k)
    rate = np.exp(p[2 : 2 + k]).tolist()
    return {"start": p[0], "hop": p[1], "ranks": counts, "rate": rate, "bend": p[2 + k :].tolist()}


def _custom_fit(device: Device, library: dict[str, Any], rows: list[Point]) -> dict[str, Any]:
    """One-shot and two-shot together: the least of both and of the library is what was measured."""
    size, seconds = np.array([p.size for p in rows]), np.array([p.seconds for p in rows])
    n = np.array([p.ranks for p in rows])
    way = {r: collective._library(device, {"all_reduce": library}, "all_reduce", r) for r in set(n.tolist())}
    base = np.array([way[p.ranks].seconds(p.size) for p in rows])

    def model(p: Any) -> Any:
        one = (p[0] + p[1] * (n - 1)) * 1e-6 + (n - 1) * size / (device.link * np.exp(p[2]))
        two = (p[3] + p[4] * (n - 1)) * 1e-6 + 2 * (n - 1) / n * size / (device.link * np.exp(p[5]))
        return np.minimum(np.minimum(one, two), base)

    low, high = [0.3, 0.0, -4.0, 0.3, 0.0, -4.0], [20.0, 2.0, 0.0, 40.0, 4.0, 0.0]
    p = _fit(model, seconds, [3.0, 0.1, -0.7, 5.0, 0.3, -0.5], low, high)
    one, two = ({"start": q[0], "hop": q[1], "rate": math.exp(q[2])} for q in (p[:3], p[3:]))
    return {"most": int(n.max()), "one-shot": one, "two-shot": two}


def _expert_fit(device: Device, rows: list[Point]) -> dict[str, Any]:
    """start, rate and bend of an exchange."""
    size, seconds = np.array([p.size for p in rows]), np.array([p.seconds for p in rows])
    x = (rows[0].ranks - 1) / rows[0].ranks

    def model(p: Any) -> Any:
        each = x / (device.link * np.exp(p[1]))
        return p[0] * 1e-6 + 2 * p[2] * np.sqrt(p[0] * 1e-6 * each * size) + each * size

    p = _fit(model, seconds, [15.0, -0.7, 0.3], [1.0, -4.0, 0.0], [200.0, math.log(2.0), 2.0])
    return {"start": p[0], "rate": math.exp(p[1]), "bend": p[2]}


# ------------------------------------------------------------ classes


def _classes(chips: dict[str, Any]) -> dict[str, Any]:
    """Means by fabric and family, then by fabric; meshes and tori have the starts of switches."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for chip, each in chips.items():
        device = device_of(find(chip))
        groups[f"{collective.fabric(device)} {device.family}"].append(each)
    found = {name: _mean(each) for name, each in groups.items()}
    for kind in ("switch", "bus"):
        found[kind] = _mean([each for name, each in found.items() if name.startswith(kind + " ")])
    for name, each in found.items():
        whole = found[name.split()[0]]["library"]
        each["library"] = {
            **{kind: one for kind, one in whole.items() if kind not in each["library"]},
            **each["library"],
        }
    for name, rate in (("mesh", 0.72), ("torus", 0.90)):
        found[name] = {"library": {kind: _assumed(each, rate) for kind, each in found["switch"]["library"].items()}}
    return found


def _assumed(one: dict[str, Any], rate: float) -> dict[str, Any]:
    return {"start": one["start"], "hop": one["hop"], "ranks": [2], "rate": [rate], "bend": [0.5]}


def _mean(found: list[Any]) -> Any:
    """Geometric mean of numbers in nested tables that may lack some of their keys."""
    if isinstance(found[0], dict):
        if "ranks" in found[0]:
            found = _same_ranks(found)
        keys = sorted({key for each in found for key in each}, key=str)
        return {key: _mean([each[key] for each in found if key in each]) for key in keys}
    if isinstance(found[0], list):
        return [_mean(list(each)) for each in zip(*found, strict=True)]
    if isinstance(found[0], int):
        return max(found)
    return math.exp(sum(math.log(max(v, 1e-3)) for v in found) / len(found))


def _same_ranks(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same counts of ranks for all; what one lacks is the mean of those that have it."""
    counts = sorted({n for each in found for n in each["ranks"]})

    def filled(each: dict[str, Any], name: str) -> list[float]:
        have = {n: [e[name][e["ranks"].index(n)] for e in found if n in e["ranks"]] for n in counts}
        return [each[name][each["ranks"].index(n)] if n in each["ranks"] else _mean(have[n]) for n in counts]

    return [{**each, "ranks": counts, "rate": filled(each, "rate"), "bend": filled(each, "bend")} for each in found]


def _borrow(device: Device, own: dict[str, Any], classes: dict[str, Any]) -> None:
    """Kinds and counts of ranks that were not measured, from the class."""
    kind = collective.fabric(device)
    lent = classes.get(f"{kind} {device.family}", classes[kind])["library"]
    for name, there in {**classes[kind]["library"], **lent}.items():
        one = own["library"].setdefault(name, there)
        more = [n for n in there["ranks"] if n > max(one["ranks"])]
        if more:
            at = [there["ranks"].index(n) for n in more]
            rate, bend = ([*one[key], *(there[key][i] for i in at)] for key in ("rate", "bend"))
            own["library"][name] = {**one, "ranks": [*one["ranks"], *more], "rate": rate, "bend": bend}


def _network(folder: Path) -> dict[str, Any]:
    """DeepEP's low-latency kernels between nodes of 8 H100: a start and a share of the device's 400 Gb/s port."""
    path = folder / "data/h100_sxm/comm/sglang/0.5.6.post2/wideep_deepep_ll_perf.parquet"
    port = device_of(find(CHIPS["h100_sxm"])).network
    sizes, times, nodes = [], [], []
    for row in pl.read_parquet(path).filter(pl.col("node_num") > 1).iter_rows(named=True):
        for phase, width in (("dispatch", 1), ("combine", 2)):
            size = row["num_token"] * row["hidden_size"] * row["num_topk"] * width
            sizes.append(size * (row["node_num"] - 1) / row["node_num"])
            times.append(row[f"{phase}_avg_t_us"] / 1e6)
            nodes.append(row["node_num"])
    size, seconds = np.array(sizes), np.array(times)
    p = _fit(lambda p: p[0] * 1e-6 + size / (port * np.exp(p[1])), seconds, [20.0, -0.2], [1.0, -3.0], [100.0, 0.0])
    log = np.log((p[0] * 1e-6 + size / (port * np.exp(p[1]))) / seconds)
    return {
        "start": p[0], "hop": 3.0, "rate": math.exp(p[1]), "bend": 0.0, "spread": 0.35,
        "error": _summary(log), "assumed": "hop and spread: published runs between nodes are few",
    }  # fmt: skip


# ------------------------------------------------------------ errors


def _errors(found: list[Point], chips: Any, halves: Any, classes: Any, network: Any) -> dict[str, Any]:
    left: dict[str, Any] = {}
    for chip in chips:
        mine = [p for p in found if p.chip == chip and p.odd]
        left[chip] = {name: _summary(_logs(halves, classes, network, rows)) for name, rows in _by_source(mine).items()}
    tested: dict[str, Any] = {}
    alike: dict[str, Any] = {"own": [_logs(halves, classes, network, rows) for rows in _groups(found, chips, odd=True)]}
    for name, out in _folds(chips):
        kept = {chip: each for chip, each in chips.items() if chip not in out}
        other = _classes(kept)
        rows = [p for p in found if p.chip in out]
        tested.setdefault(name, []).append(_logs({}, other, network, rows))
        alike.setdefault(name, []).extend(_logs({}, other, network, rows) for rows in _groups(found, out))
    summaries = {name: _summary(np.concatenate(each)) for name, each in tested.items()}
    for each in summaries.values():
        each["spread"] = max(BORROWED, each["p90"] / 1.645)
    return {"left_out": left, "classes": summaries, "shared": {name: _shared(each) for name, each in alike.items()}}


def _groups(found: list[Point], chips: Any, *, odd: bool = False) -> Iterator[list[Point]]:
    """The library's calls of one device and kind."""
    for chip in chips:
        for kind in KINDS.values():
            rows = [p for p in found if p.chip == chip and p.kind == kind and p.source == "library"]
            if rows := [p for p in rows if p.odd or not odd]:
                yield rows


def _shared(groups: list[Any]) -> float:
    """The share of the mean square of log errors that a device and kind have in common: 1 - within / all."""
    within = np.mean([np.mean((each - each.mean()) ** 2) for each in groups])
    return float(1 - within / np.mean(np.concatenate(groups) ** 2))


def _folds(chips: Any) -> Iterator[tuple[str, list[str]]]:
    """What is left out for each class: of a fabric one family at a time, of a family one device at a time."""
    groups: dict[str, list[str]] = defaultdict(list)
    for chip in chips:
        device = device_of(find(chip))
        groups[f"{collective.fabric(device)} {device.family}"].append(chip)
    for name, members in groups.items():
        if sum(each.startswith(name.split()[0] + " ") for each in groups) > 1:
            yield name.split()[0], members
        if len(members) > 1:
            for chip in members:
                yield name, [chip]


def _by_source(rows: list[Point]) -> dict[str, list[Point]]:
    groups: dict[str, list[Point]] = defaultdict(list)
    for p in rows:
        if p.source in ("trtllm", "vllm", "sglang") and p.size > MOST:
            continue
        groups["custom" if p.source in ("trtllm", "vllm", "sglang") else p.source].append(p)
    return groups


def _logs(chips: Any, classes: Any, network: Any, rows: list[Point]) -> Any:
    """log(predicted / measured) by the package's own functions under these numbers."""
    table = {"chips": {c: {**e, "spread": 0} for c, e in chips.items()}, "classes": classes, "network": network}
    real = collective.coefficients
    collective.coefficients = lambda _: table  # type: ignore[assignment]
    collective.ways.cache_clear()
    try:
        return np.array([math.log(_predicted(p) / p.seconds) for p in rows if _shipped(p)])
    finally:
        collective.coefficients = real  # type: ignore[assignment]
        collective.ways.cache_clear()


def _shipped(p: Point) -> bool:
    return not (p.source in ("trtllm", "vllm", "sglang") and p.size > MOST)


def _predicted(p: Point) -> float:
    device = replace(device_of(find(p.chip)), domain=1024)
    if p.source in ("low-latency", "high-throughput"):
        found = {way.algorithm: way for way in collective.ways(device, "all_to_all", p.ranks, False, True)}
        return float(found[p.source].seconds(p.size)) if p.source in found else p.seconds
    custom = p.source != "library"
    return float(collective.collective_seconds(device, p.kind, p.size, p.ranks, custom=custom))  # type: ignore[arg-type]


def _summary(logs: Any) -> dict[str, Any]:
    away = np.abs(logs)
    return {"median": float(np.median(away)), "p90": float(np.quantile(away, 0.9)), "n": len(away)}


def _spread(parts: Any, least: float) -> float:
    """p90 of |log error| over 1.645, mean over the algorithms by count."""
    parts = list(parts)
    return max(least, sum(e["p90"] * e["n"] for e in parts) / sum(e["n"] for e in parts) / 1.645)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.3g}") if isinstance(value, float) else value
