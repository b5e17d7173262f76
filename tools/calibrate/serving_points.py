"""Published serving runs of aiconfigurator's silicon_sample.csv, cleaned: what each ran, and why some are not used."""

from __future__ import annotations

import csv
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from flopsight.models.ledger import Ledger, ledger
from flopsight.models.load import load
from flopsight.predict.serve import Requests
from flopsight.validate.predicted.serving import DRAWN

SYSTEMS = {
    "h100_sxm": "nvidia-h100-sxm5-80gb", "h200_sxm": "nvidia-h200-sxm-141gb", "b200_sxm": "nvidia-b200-sxm",
    "b300_sxm": "nvidia-b300-sxm", "gb200": "nvidia-gb200-nvl72-gpu", "gb300": "nvidia-gb300-nvl72-gpu",
}  # fmt: skip
CONFIGS = {
    "DeepSeek-R1": "deepseek-ai--DeepSeek-R1", "DeepSeek-V3": "deepseek-ai--DeepSeek-V3",
    "DeepSeek-R1-NVFP4": "deepseek-ai--DeepSeek-R1", "DeepSeek-V3.1-NVFP4": "deepseek-ai--DeepSeek-V3",
    "MiniMax-M2.5": "MiniMaxAI--MiniMax-M2.5", "gpt-oss-120b": "openai--gpt-oss-120b", "GLM-5": "zai-org--GLM-5",
    "Llama-3.1-70B": "meta-llama--Meta-Llama-3.1-70B", "Llama-3.1-8B-Instruct": "meta-llama--Meta-Llama-3.1-8B",
    "Llama-3.1-8B-Instruct-FP8": "meta-llama--Meta-Llama-3.1-8B", "Qwen3-32B": "Qwen--Qwen3-32B",
    "Qwen3-32B-NVFP4": "Qwen--Qwen3-32B", "Qwen3-235B-A22B-FP8": "Qwen--Qwen3-235B-A22B",
    "Qwen3.5-397B-A17B": "Qwen--Qwen3.5-397B-A17B", "Kimi-K2.5": "moonshotai--Kimi-K2.5",
}  # fmt: skip
DRAFTING = ("deepseek", "GLM-5", "Qwen3.5-397B-A17B")
"""Models that can draft tokens by themselves; the file does not tell which runs did."""
FAR = 1.25


@dataclass(frozen=True)
class Point:
    """One run. why: the reason not to use it, "" for a clean one."""

    id: str
    model: str
    family: str
    system: str
    backend: str
    version: str
    gemm: str
    moe: str
    isl: int
    osl: int
    c: int
    tp: int
    dp: int
    etp: int
    ep: int
    ttft: float
    tpot: float
    source: str
    why: str = ""

    @property
    def block(self) -> str:
        """What is left out together: model x system x formats x lengths x engine."""
        return "|".join(map(str, (self.family, self.system, self.gemm, self.moe, self.isl, self.osl, self.backend)))

    @property
    def half(self) -> int:
        """A hash of the block: which half it falls in."""
        return zlib.crc32(self.block.encode()) % 2

    @property
    def drawn(self) -> bool:
        """Lengths drawn at random, as InferenceX's client does; NVIDIA's own runs have fixed ones."""
        return "/Users" not in self.source

    @property
    def requests(self) -> Requests:
        """What the clients ask, in mean lengths."""
        ratio = DRAWN if self.drawn else 1.0
        return Requests(self.c, self.isl * ratio, self.osl * ratio, alike=not self.drawn)

    @property
    def dump(self) -> str:
        """Which dump the run comes from."""
        return self.source.split(";")[0][:16]

    @property
    def where(self) -> tuple:
        """The configuration without engine version and dump."""
        return (self.family, self.system, self.backend, self.gemm, self.isl, self.osl, self.c, self.tp, self.dp)


def points(folder: Path) -> list[Point]:
    """Runs with prefill and decode together."""
    with (folder / "silicon_sample.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [_point(r) for r in rows if r["mode"] == "agg"]
    return _drafted(_twins(_repeated(found)))


@dataclass(frozen=True)
class Apart:
    """One run with pools of their own: (tp, attention dp, ep) and workers of each."""

    id: str
    model: str
    family: str
    system: str
    backend: str
    gemm: str
    moe: str
    isl: int
    osl: int
    c: int
    first: tuple[int, int, int]
    firsts: int
    second: tuple[int, int, int]
    seconds: int
    ttft: float
    tpot: float

    @property
    def block(self) -> str:
        """What is left out together."""
        return "|".join(
            map(str, ("apart", self.family, self.system, self.gemm, self.moe, self.isl, self.osl, self.backend))
        )

    @property
    def requests(self) -> Requests:
        """What the clients ask, in mean lengths."""
        return Requests(self.c, self.isl * DRAWN, self.osl * DRAWN)


def apart_points(folder: Path) -> list[Apart]:
    """Runs whose pools are told, InferenceX's."""
    with (folder / "silicon_sample.csv").open() as file:
        rows = list(csv.DictReader(file))
    told = [
        r
        for r in rows
        if r["mode"] == "disagg" and r["prefill_num_workers"] and "/Users" not in r["silicon_data_source"]
    ]
    return [_apart(r) for r in told]


def _apart(r: dict[str, str]) -> Apart:
    name = r["model_path"].split("/")[-1]
    pools = [
        tuple(max(1, _int(r[f"{pool}_{k}"])) for k in ("tp_size", "attention_dp_size", "moe_ep_size"))
        for pool in ("prefill", "decode")
    ]
    c = re.search(r"silicon_concurrency=(\d+)", r["silicon_data_source"])
    return Apart(
        r["id"], name, family_of(name), r["system"], r["backend"], r["gemm_quant_mode"], r["moe_quant_mode"],
        int(r["isl"]), int(r["osl"]), int(c.group(1)) if c else 1, pools[0], _int(r["prefill_num_workers"]), pools[1],
        _int(r["decode_num_workers"]), float(r["silicon_ttft_ms"]) / 1e3, float(r["silicon_tpot_ms"]) / 1e3,
    )  # fmt: skip


def _int(text: str) -> int:
    return int(text) if text else 0


def family_of(name: str) -> str:
    for start, family in (("DeepSeek", "deepseek"), ("Llama-3.1", "llama"), ("Qwen3-32B", "Qwen3-32B")):
        if name.startswith(start):
            return family
    return name


def _point(r: dict[str, str]) -> Point:
    name = r["model_path"].split("/")[-1]
    tp, dp, etp, ep = (_int(r[k]) for k in ("tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size"))
    c = re.search(r"silicon_concurrency=(\d+)", r["silicon_data_source"])
    point = Point(
        r["id"], name, family_of(name), r["system"], r["backend"], r["backend_version"], r["gemm_quant_mode"],
        r["moe_quant_mode"], int(r["isl"]), int(r["osl"]), int(c.group(1)) if c else int(r["batch_size"]), tp,
        max(dp, 1), max(etp, 1), max(ep, 1), float(r["silicon_ttft_ms"]) / 1e3, float(r["silicon_tpot_ms"]) / 1e3,
        r["silicon_data_source"],
    )  # fmt: skip
    return replace(point, why=_why(point, int(r["batch_size"])))


def _why(p: Point, batch: int) -> str:
    if p.tp > 8 or (p.tp > 1 and p.dp > 1) or (p.etp > 1 and p.ep > 1) or p.tp * p.dp > 16:
        return "ambiguous number of GPUs"
    if batch != p.c:
        return "several replicas, not told apart"
    if p.system == "gb200" and p.family == "Qwen3-32B":
        return "faulty in the source"
    if p.osl * p.tpot / (p.ttft + p.osl * p.tpot) < 0.5:
        return "queued"
    return ""


def _repeated(found: list[Point]) -> list[Point]:
    """The same measurement under two names."""
    seen, out = set(), []
    for p in found:
        key = (p.system, p.isl, p.osl, p.c, round(p.ttft, 9), round(p.tpot, 9))
        out.append(replace(p, why=p.why or "repeated") if key in seen else p)
        seen.add(key)
    return out


def _twins(found: list[Point]) -> list[Point]:
    """Configurations measured twice with TPOT more than a quarter apart: an option that the file does not tell."""
    groups: dict[tuple, list[float]] = {}
    for p in found:
        if not p.why:
            groups.setdefault((*p.where, p.ep, p.version, p.dump), []).append(p.tpot)
    far = {key for key, times in groups.items() if max(times) > FAR * min(times)}
    return [
        replace(p, why="measured twice, far apart") if not p.why and (*p.where, p.ep, p.version, p.dump) in far else p
        for p in found
    ]


def _drafted(found: list[Point]) -> list[Point]:
    """Groups (model, engine version, dump) of drafting models that mostly run a quarter faster than slower twins."""
    slowest: dict[tuple, float] = {}
    for p in found:
        if not p.why and p.family in DRAFTING:
            slowest[p.where] = max(slowest.get(p.where, 0.0), p.tpot)
    groups: dict[tuple, list[bool]] = {}
    for p in found:
        if not p.why and p.family in DRAFTING:
            groups.setdefault(_group(p), []).append(slowest[p.where] > FAR * p.tpot)
    fast = {key for key, votes in groups.items() if sum(votes) >= max(2, 0.3 * len(votes))}
    return [
        replace(p, why="probably drafting") if not p.why and p.family in DRAFTING and _group(p) in fast else p
        for p in found
    ]


def _group(p: Point) -> tuple:
    return (p.family, p.system, p.backend, p.version, p.gemm, p.dump)


_BOOKS: dict[str, Ledger] = {}


def book_of(folder: Path, model: str) -> Ledger:
    """The model's ledger, from the config beside the data."""
    file = CONFIGS[model]
    if file not in _BOOKS:
        _BOOKS[file] = ledger(load(str(folder.parent / "model_configs" / f"{file}_config.json")))
    return _BOOKS[file]
