"""Engine constants of the prediction of serving, from published runs on silicon.

Fitted per engine, few and named: host, gaps per layer, per exchange and per routing, seconds a sequence, factors on the
kernels of decode and of prompts, request overhead and how much prompts bunch. Robust loss on log(TPOT) and log(TTFT),
pulled towards the constants of all engines together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from tools.calibrate.serving_points import DRAFTING, SYSTEMS, Apart, Point, apart_points, book_of, points

from flopsight.hardware.catalog import find
from flopsight.predict.device import device_of
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import forward
from flopsight.predict.queueing import Load, Tables, Terms, apart, steady
from flopsight.predict.serve import apart_scene, joined, kernel_tables, routed_layers
from flopsight.predict.shard import depth
from flopsight.validate.predicted.serving import formats_of, laid
from flopsight.workload import Workload

SOURCE = "aiconfigurator-core 0.12.0 (Apache-2.0), systems/silicon_sample.csv: SemiAnalysis InferenceX and NVIDIA runs"
PROTOCOL = (
    "Closed loops, prefill and decode together, on H100, H200, B200, B300; repeated, queued, ambiguous and probably "
    "drafting runs removed; blocks (model x system x formats x lengths x engine) that serve as evidence are in no fit. "
    "Errors are those of blocks left out: a model family, a system, or half of all blocks at a time."
)
RULES: dict[str, dict[str, Any]] = {
    "vllm": {"mixed": True, "chunk": 8192}, "sglang": {"mixed": False, "chunk": 16384},
    "trtllm": {"mixed": True, "chunk": 8192},
}  # fmt: skip
"""How each engine schedules by default, from its documentation; not fitted."""
PRIOR = {
    "host": 5e-4, "per_sequence": 3e-6, "per_layer": 8e-6, "per_collective": 8e-6, "per_routing": 1e-5, "kernels": 1.0,
    "prefills": 1.0, "request": 0.06, "per_token": 1e-5, "burst": 0.3, "lockstep": 0.2, "polls": 2.0,
    "blackwell": 1.0, "eager": 2.5e-4, "eager_routed": 5e-4, "client": 0.03,
}  # fmt: skip
WIDTH = {
    "host": 1.0, "per_sequence": 1.2, "per_layer": 1.0, "per_collective": 1.0, "per_routing": 1.0, "kernels": 0.12,
    "prefills": 0.3, "request": 1.0, "per_token": 1.0, "burst": 1.0, "lockstep": 2.0, "polls": 1.5,
    "blackwell": 0.15, "eager": 1.0, "eager_routed": 1.0, "client": 1.0,
}  # fmt: skip
NAMES = tuple(PRIOR)
FASTEST = 0.85
"""Of the floor's rates: nothing published runs nearer to them."""
LEFT_OUT = Path(__file__).with_name("serving_left_out.txt")
NINETY = 1.645


@dataclass
class Data:
    """Runs with their kernel tables, as arrays over runs."""

    points: list[Point]
    tables: Tables
    load: Load
    layers: Any
    routed: Any
    joined: Any
    isl: Any
    drawn: Any
    blackwell: Any
    ttft: Any
    tpot: Any

    def take(self, mask: Any) -> Data:
        """Some of the runs."""
        t, rest = self.tables, ("layers", "routed", "joined", "isl", "drawn", "blackwell", "ttft", "tpot")
        return Data(
            [p for p, keep in zip(self.points, mask, strict=True) if keep],
            Tables(t.running, t.decode[mask], t.prompts, t.prefill[mask]),
            Load(*(getattr(self.load, f.name)[mask] for f in fields(Load))), *(getattr(self, n)[mask] for n in rest),
        )  # fmt: skip

    def of(self, name: str) -> Any:
        """A field of the points."""
        return np.array([getattr(p, name) for p in self.points])


def gather(folder: Path, used: list[Point]) -> Data:
    """Kernel tables of every run."""
    rows = []
    for p in used:
        book, device = book_of(folder, p.model), device_of(find(SYSTEMS[p.system]))
        made = forward(book, device, laid(book, p.tp, p.dp, p.ep), formats_of(book, device, p.gemm, p.moe, p.backend))
        tables, load = kernel_tables(made, p.requests, Engine(p.backend, **RULES[p.backend]))
        new = device.family == "Blackwell"
        rows.append((tables, load, depth(book), routed_layers(book), joined(made.plan), p.requests.isl, p.drawn, new))
    many = [np.array(column) for column in list(zip(*rows, strict=True))[2:]]

    def stacked(index: int, name: str) -> Any:
        return np.concatenate([getattr(row[index], name) for row in rows])

    first = rows[0][0]
    tables = Tables(first.running, stacked(0, "decode"), first.prompts, stacked(0, "prefill"))
    load = Load(*(stacked(1, f.name) for f in fields(Load)))
    return Data(used, tables, load, *many, np.array([p.ttft for p in used]), np.array([p.tpot for p in used]))


def terms(x: Any, d: Data) -> Terms:
    """What the engine adds, from the logarithms of the constants."""
    v = dict(zip(NAMES, np.exp(x), strict=True))
    step = v["host"] + d.layers * (v["per_layer"] + d.joined * v["per_collective"]) + d.routed * v["per_routing"]
    request = v["request"] + v["per_token"] * d.isl + (1 - d.drawn) * v["client"]
    burst = np.minimum(1.0, np.where(d.drawn, v["burst"], v["lockstep"]))
    floor = d.layers * v["eager"] + d.routed * v["eager_routed"]
    speed = np.where(d.blackwell, v["blackwell"], 1.0)
    return Terms(
        speed * v["kernels"], speed * v["prefills"], step, v["per_sequence"], floor, request, burst, v["polls"]
    )


def errors(x: Any, d: Data) -> tuple[Any, Any]:
    """log(predicted / measured) of TPOT and TTFT."""
    found = steady(d.tables, d.load, terms(x, d))
    return np.log(found.tpot / d.tpot), np.log(found.ttft / d.ttft)


def fit(d: Data, centre: Any) -> Any:
    """The constants of some runs, pulled towards `centre`."""
    counts = Counter(p.block for p in d.points)
    weight = np.array([counts[p.block] ** -0.5 for p in d.points])
    width = np.array([WIDTH[n] for n in NAMES])

    def soft(z: Any) -> Any:
        return np.sign(z) * np.sqrt(2 * (np.sqrt(1 + z * z) - 1))

    def residuals(x: Any) -> Any:
        tpot, ttft = errors(x, d)
        pull = (x - centre) / width * 0.1 * np.sqrt(weight.sum())
        return np.concatenate([weight * soft(tpot / 0.12), 0.5 * weight * soft(ttft / 0.4), pull])

    return least_squares(residuals, centre, diff_step=1e-3, max_nfev=10).x


def left_out(d: Data, centre: Any, label: Any) -> tuple[Any, Any]:
    """Errors of every run under constants fitted without the runs of its label."""
    tpot, ttft = np.zeros(len(d.points)), np.zeros(len(d.points))
    for each in sorted(set(label)):
        test = label == each
        for name in RULES:
            rest, mine = d.of("backend") == name, test & (d.of("backend") == name)
            if mine.any():
                train = rest & ~test
                x = fit(d.take(train), centre) if train.sum() > 5 else centre
                tpot[mine], ttft[mine] = errors(x, d.take(mine))
    return tpot, ttft


def summary(tpot: Any, ttft: Any) -> dict[str, Any]:
    """Median, mean and tail of relative errors in percent."""
    one = {}
    for name, e in (("tpot", tpot), ("ttft", ttft)):
        a = np.abs(np.expm1(e)) * 100
        one[name] = {"median": round(float(np.median(a)), 1), "mape": round(float(np.mean(a)), 1),
                     "p90": round(float(np.quantile(a, 0.9)), 1), "bias": round(float(np.median(e)), 3)}  # fmt: skip
    return {"n": len(tpot), **one}


def grouped(d: Data, tpot: Any, ttft: Any, name: str) -> dict[str, Any]:
    """A summary by a field of the points."""
    label = d.of(name)
    return {str(each): summary(tpot[label == each], ttft[label == each]) for each in sorted(set(label))}


def sigma(e: Any) -> float:
    """The standard deviation that lets 90 % intervals hold 90 % of these errors."""
    return round(float(np.quantile(np.abs(e), 0.9)) / NINETY, 3)


def spreads(tpot: Any, ttft: Any) -> dict[str, float]:
    """By quantity."""
    return {"tpot": sigma(tpot), "ttft": sigma(ttft)}


def beyond(wide: Any, narrow: float) -> float:
    """What must be added to a sigma, in quadrature, to hold these errors too."""
    return round(max(0.0, sigma(wide) ** 2 - narrow**2) ** 0.5, 3)


def prepared(folder: Path) -> tuple[Data, Data, Data, dict[str, int]]:
    """Runs to fit on, runs of the blocks kept for evidence, runs that probably draft, how many were rejected why."""
    found = points(folder)
    rejected = Counter(p.why for p in found if p.why)
    kept = set(LEFT_OUT.read_text().split("\n")) if LEFT_OUT.is_file() else set()
    drafting = gather(folder, [p for p in found if p.why == "probably drafting"])
    d = gather(folder, [p for p in found if not p.why])
    broken = {
        p.source.split(";")[0] for p, bad in zip(d.points, d.tpot < floors(folder, d) / FASTEST, strict=True) if bad
    }
    fast = np.array([p.source.split(";")[0] in broken for p in d.points])
    rejected["a file with runs faster than the matrix engines"] = int(fast.sum())
    mask = np.array([p.block in kept for p in d.points])
    return d.take(~mask & ~fast), d.take(mask & ~fast), drafting, dict(rejected)


def floors(folder: Path, d: Data) -> Any:
    """Least TPOT: the prompts' FLOPs at the dense peak of the main format, and one read of the dense weights."""
    found = []
    for p, room in zip(d.points, d.load.seats * d.load.ranks, strict=True):
        book, device = book_of(folder, p.model), device_of(find(SYSTEMS[p.system]))
        made = forward(book, device, laid(book, p.tp, p.dp, p.ep), formats_of(book, device, p.gemm, p.moe, p.backend))
        kept = made.kept.formats
        rate = max(device.rate(kept.compute), device.rate(kept.experts_compute))
        work = book.total(Workload("prefill", 1, round(p.requests.isl)))
        running = min(p.c, room) * RULES[p.backend]["mixed"]
        prompts = running * float(work.required) / (p.tp * p.dp * rate) / p.requests.osl
        dense = sum(size for kind, size in made.shard.stored.items() if kind not in ("experts", "embedding"))
        found.append(prompts + dense / device.bandwidth)
    return np.array(found)


# ------------------------------------------------------------ pools of their own


def pools(folder: Path, engines: dict[str, Engine]) -> tuple[list[Apart], list[Any]]:
    """Runs with prefill and decode apart, and what the queue needs to know of each."""
    found = apart_points(folder)
    scenes = []
    for p in found:
        book, device, engine = book_of(folder, p.model), device_of(find(SYSTEMS[p.system])), engines[p.backend]
        formats = formats_of(book, device, p.gemm, p.moe, p.backend)
        made = forward(book, device, laid(book, *p.second), formats)
        first = (laid(book, *p.first), p.firsts)
        scenes.append(apart_scene(book, device, formats, p.requests, engine, made, first, p.seconds))
    return found, scenes


def apart_errors(found: list[Apart], scenes: list[Any], handover: float, gathered: float) -> tuple[Any, Any]:
    """log(predicted / measured) of TPOT and TTFT."""
    solved = [
        apart(tables, load, replace(t, request=t.request + handover, burst=gathered), pool)
        for tables, load, t, pool in scenes
    ]
    tpot = np.array([float(s.tpot[0]) / p.tpot for s, p in zip(solved, found, strict=True)])
    ttft = np.array([float(s.ttft[0]) / p.ttft for s, p in zip(solved, found, strict=True)])
    return np.log(tpot), np.log(ttft)


HANDOVERS = (0.0, 0.02, 0.05, 0.1)
GATHERED = (0.1, 0.2, 0.3, 0.4, 0.5)


def fit_apart(found: list[Apart], scenes: list[Any]) -> tuple[float, float]:
    """Handover and bunching that make TTFT's median error least, out of a small grid."""
    tried = {
        (h, g): float(np.median(np.abs(apart_errors(found, scenes, h, g)[1]))) for h in HANDOVERS for g in GATHERED
    }
    return min(tried, key=lambda key: tried[key])


def told_apart(folder: Path, engines: dict[str, Engine], kept: set[str]) -> dict[str, Any]:
    """Fitted on blocks that are no evidence, told on those that are."""
    found, scenes = pools(folder, engines)
    train = [i for i, p in enumerate(found) if p.block not in kept]
    test = [i for i, p in enumerate(found) if p.block in kept]
    handover, gathered = fit_apart([found[i] for i in train], [scenes[i] for i in train])
    tpot, ttft = apart_errors(found, scenes, handover, gathered)
    return {
        "handover": handover, "gathered": gathered, "spread": spreads(tpot, ttft),
        "error": {"n": len(found), "fitted (TTFT only)": summary(tpot[train], ttft[train]),
                  "evidence blocks": summary(tpot[test], ttft[test])},
    }  # fmt: skip


# ------------------------------------------------------------ all


def run(folder: Path) -> dict[str, Any]:
    """Fit, leave out, and tell."""
    d, kept_back, drafting, rejected = prepared(folder)
    centre = fit(d, np.log([PRIOR[n] for n in NAMES]))
    constants = {name: fit(d.take(d.of("backend") == name), centre) for name in RULES}
    left = {n: left_out(d, centre, d.of(n)) for n in ("family", "system", "half")}
    engines = {name: told(name, constants[name], _spread(d, left, drafting, constants, name)) for name in RULES}
    kept = set(LEFT_OUT.read_text().split("\n")) if LEFT_OUT.is_file() else set()
    pair = told_apart(folder, {n: Engine(n, **v) for n, v in engines.items()}, kept)
    for one in engines.values():
        one |= {"handover": pair["handover"], "gathered": pair["gathered"]}
        one["spreads"] |= {f"apart_{k}": v for k, v in pair["spread"].items()}
    return {
        "source": SOURCE, "protocol": PROTOCOL,
        "error": _errors(d, left, kept_back, drafting, constants) | {"pools apart": pair["error"]},
        "rejected": rejected, "chips": sorted(SYSTEMS.values()), "engines": engines,
        "client": round(float(np.exp(centre[NAMES.index("client")])), 4),
    }  # fmt: skip


def _spread(d: Data, left: dict[str, Any], drafting: Data, constants: dict[str, Any], name: str) -> dict[str, float]:
    """Of an engine: families and systems left out; what drafting adds is that of all engines."""
    mine = d.of("backend") == name
    both = [np.concatenate([left["family"][i][mine], left["system"][i][mine]]) for i in (0, 1)]
    narrow = spreads(*both)
    may = np.isin(d.of("family"), DRAFTING)
    unsaid = [_of_all(drafting, constants)[i] for i in (0, 1)]
    wide = [np.concatenate([left["family"][i][may], unsaid[i]]) for i in (0, 1)]
    mean = spreads(*(np.concatenate([left["family"][i][~may], left["system"][i][~may]]) for i in (0, 1)))
    return narrow | {f"drafts_{q}": beyond(wide[i], mean[q]) for i, q in enumerate(("tpot", "ttft"))}


def _of_all(d: Data, constants: dict[str, Any]) -> tuple[Any, Any]:
    """Errors of runs under their own engine's constants."""
    tpot, ttft = np.zeros(len(d.points)), np.zeros(len(d.points))
    for name in RULES:
        mine = d.of("backend") == name
        if mine.any():
            tpot[mine], ttft[mine] = errors(constants[name], d.take(mine))
    return tpot, ttft


def _errors(
    d: Data, left: dict[str, Any], kept_back: Data, drafting: Data, constants: dict[str, Any]
) -> dict[str, Any]:
    return {
        "family left out": summary(*left["family"]), "system left out": summary(*left["system"]),
        "half left out": summary(*left["half"]), "evidence blocks": summary(*_of_all(kept_back, constants)),
        "probably drafting, in no fit": summary(*_of_all(drafting, constants)),
        "by family, left out": grouped(d, *left["family"], "family"),
        "by system, left out": grouped(d, *left["system"], "system"),
        "by engine, family left out": grouped(d, *left["family"], "backend"),
    }  # fmt: skip


def told(name: str, x: Any, spread: dict[str, float]) -> dict[str, Any]:
    """An engine's constants as the catalogue reads them."""
    found = {n: float(f"{v:.3g}") for n, v in zip(NAMES, np.exp(x), strict=True) if n not in ("client", "blackwell")}
    found["families"] = {"Blackwell": float(f"{np.exp(x[NAMES.index('blackwell')]):.3g}")}
    for share in ("burst", "lockstep"):
        found[share] = min(1.0, found[share])
    return {**found, **RULES[name], "spread": spread["tpot"], "spreads": spread, "source": "fitted on published runs"}
