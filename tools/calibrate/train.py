"""Fits the constants of training software and sustained clocks on half of the published runs, judged on the other half.

    python -m tools.calibrate.train FOLDER     writes src/flopsight/predict/data/train.json

FOLDER holds *.jsonl rows of published measurements. Rows are dealt in whole blocks (group family x model x system) to
two halves, within each kind of run in turn by a hash of the block's name, so that no run of a fitted half is a
neighbour of a judged one. Errors are those of each half under constants fitted on the other, and of each group under
constants fitted on all others; the constants kept are fitted once more on both halves. They are few, global to a class
of software or a family of chips, and drawn to their priors by a ridge; never one a row or a model.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from flopsight.errors import FlopsightError
from flopsight.facts import Unknown
from flopsight.predict.forward import Forward, forward
from flopsight.predict.framework import PRIORS, Framework, filled
from flopsight.predict.tasks import Routed
from flopsight.predict.train import Batch, _training, step
from flopsight.predict.train_tasks import bundles
from flopsight.validate.predicted.train import published_rate
from flopsight.validate.predicted.training_run import class_of, run_of
from flopsight.validate.recompute import _case
from flopsight.validate.rows import Row, read_rows

TARGET = Path(__file__).parents[2] / "src/flopsight/predict/data/train.json"
RIDGE = {"log": 0.2, "share": 0.2}
WEIGHT = 0.06
"""Scale of the soft L1 loss on log(predicted / published)."""
FREE = {
    "megatron": ("kernels", "attention", "vector", "tp_hidden", "ep_hidden"),
    "megatron-2025": ("kernels", "vector", "ep_hidden"),
    "megatron-2021": ("kernels", "p2p_hidden", "tp_hidden"),
    "megascale": ("kernels",),
    "llm-foundry": ("kernels", "attention", "vector"),
    "torchtitan": ("kernels", "attention", "vector", "tp_hidden"),
    "maxtext": ("vector", "tp_hidden", "ep_hidden"),
    "deepspeed": ("kernels", "exchange"),
}
CLOCKS = {
    "Volta": ("16",), "Ampere": ("16", "attention"), "Hopper": ("16", "8", "routed", "attention", "scan"),
    "Blackwell": ("16", "8", "4", "routed", "attention", "scan"), "TPU": ("16", "8", "routed", "attention"),
}  # fmt: skip
PRIOR_CLOCKS = {"16": 1.1, "8": 1.2, "4": 1.3, "attention": 1.1, "scan": 2.0, "routed": 1.2}
SHARES = ("tp_hidden", "ep_hidden", "p2p_hidden", "overlap")


@dataclass(frozen=True)
class Case:
    """One row, laid out."""

    row: Row
    block: str
    run: Forward
    batch: Batch
    soft: str
    told: tuple[tuple[str, object], ...]
    family: str
    published: float
    open: float


def cases(rows: list[Row]) -> tuple[list[Case], Counter[str]]:
    """Rows that can be fitted, and why the others cannot."""
    found, left = [], Counter()
    for row in rows:
        if row.kind != "train_mfu":
            continue
        if row.set != "clean" or row.group == "gpu-hours":
            left[row.set if row.set != "clean" else "whole run"] += 1
            continue
        try:
            one = case(row)
        except FlopsightError as error:
            left[str(error)[:80]] += 1
            continue
        if isinstance(one, Unknown):
            left[one.why[:80]] += 1
        else:
            found.append(one)
    return found, left


def case(row: Row) -> Case | Unknown:
    """A row as a laid-out run with its published seconds."""
    run = run_of(row)
    if isinstance(run, Unknown):
        return run
    made = _case(row)
    rate = published_rate(replace(made, seq=made.seq or run.batch.seq))
    if isinstance(rate, Unknown):
        return rate
    laid = forward(run.book, run.device, run.plan, _training(run.formats), training=True)
    soft, base = class_of(row), PRIORS[run.soft]
    told = {"flash": soft.flash} | ({"tp_hidden": soft.tp_hidden} if "async" in _words(row) else {})
    batch = run.batch if soft.flash or not run.batch.fused else replace(run.batch, fused=False)
    bundles(laid, batch)
    published = run.batch.tokens / (rate.each * run.plan.devices)
    return Case(row, block(row), laid, batch, base.name, tuple(told.items()), run.device.family, published, run.doubt)


def _words(row: Row) -> str:
    return f"{row.dtype} {row.parallelism}".lower()


def block(row: Row) -> str:
    """Group family x model x system: releases and phases of one table are one family."""
    return f"{row.group.split('/')[0]}|{row.model.get('name')}|{row.hardware.get('key')}"


def halves(chosen: list[Case]) -> dict[str, int]:
    """0 or 1 for every block: within a kind (software, chips, routed or not) in turn, by a hash of the block's name."""
    kinds: dict[tuple[object, ...], set[str]] = {}
    for c in chosen:
        routed = any(isinstance(t.kernel, Routed) for t in c.run.shard.tasks)
        kinds.setdefault((c.soft, c.family, routed), set()).add(c.block)
    found, turn = {}, 0
    for kind in sorted(kinds, key=str):
        for name in sorted(kinds[kind], key=lambda n: hashlib.sha256(n.encode()).hexdigest()):
            if name not in found:
                found[name], turn = turn % 2, turn + 1
    return found


# ------------------------------------------------------------ the fit


@dataclass(frozen=True)
class Knob:
    """One free constant."""

    place: str
    name: str
    prior: float
    low: float
    high: float
    log: bool


def knobs(chosen: list[Case]) -> list[Knob]:
    """Constants that some row of the fitted part depends on."""
    softs, families = {c.soft for c in chosen}, {c.family for c in chosen}
    found = [Knob(soft, name, *_range(soft, name)) for soft, names in FREE.items() if soft in softs for name in names]
    for family, widths in CLOCKS.items():
        if family in families:
            found += [Knob(f"clock:{family}", w, PRIOR_CLOCKS[w], 0.6, 6.0, True) for w in widths]
    return found


def _range(soft: str, name: str) -> tuple[float, float, float, bool]:
    prior = getattr(PRIORS[soft], name)
    if name in SHARES:
        return prior, 0.0, 0.98, False
    if name == "launch":
        return max(prior, 1e-6), 1e-7, 1e-4, True
    return prior, 0.5, 8.0, True


def settings(ks: list[Knob], x: np.ndarray) -> tuple[dict[str, Framework], dict[str, dict[str, float]]]:
    """Frameworks and clocks of a point."""
    softs, clocks = dict(PRIORS), {}
    for k, value in zip(ks, x, strict=True):
        v = float(np.exp(value)) if k.log else float(value)
        if k.place.startswith("clock:"):
            clocks.setdefault(k.place[6:], {})[k.name] = v
        else:
            softs[k.place] = replace(softs[k.place], **{k.name: v})
    for table in clocks.values():
        table.setdefault("attention", table["16"])
    softs["torchtitan-eager"] = replace(
        softs["torchtitan"], name="torchtitan-eager", launch=PRIORS["torchtitan-eager"].launch,
        vector=softs["torchtitan"].vector * 2,
    )  # fmt: skip
    return softs, clocks


def errors(chosen: list[Case], softs: dict[str, Framework], clocks: dict[str, dict[str, float]]) -> np.ndarray:
    """log(predicted / published)."""
    found = []
    for c in chosen:
        soft = replace(softs[c.soft], **dict(c.told))
        found.append(np.log(step(c.run, c.batch, soft, filled(clocks, c.family)).seconds / c.published))
    return np.array(found)


Found = tuple[dict[str, Framework], dict[str, dict[str, float]]]


def fit(chosen: list[Case], near: Found | None = None) -> Found:
    """Soft-L1 least squares with a ridge to the priors; `near` is where to start from."""
    ks = knobs(chosen)
    start = np.array([np.log(k.prior) if k.log else k.prior for k in ks])
    low = np.array([np.log(k.low) if k.log else k.low for k in ks])
    high = np.array([np.log(k.high) if k.log else k.high for k in ks])
    spread = np.array([RIDGE["log"] * (2 if k.name == "launch" else 1) if k.log else RIDGE["share"] for k in ks])

    def residuals(x: np.ndarray) -> np.ndarray:
        misses = errors(chosen, *settings(ks, x)) / WEIGHT
        soft = np.sign(misses) * np.sqrt(2 * (np.sqrt(1 + misses**2) - 1))
        return np.concatenate([soft, (x - start) / spread])

    def slopes(x: np.ndarray) -> np.ndarray:
        here, base = residuals(x), np.diag(1 / spread)
        columns = np.zeros((len(chosen), len(ks)))
        for j, k in enumerate(ks):
            rows = [i for i, c in enumerate(chosen) if _moved(k, c)]
            ahead = x.copy()
            ahead[j] += STEP if ahead[j] + STEP < high[j] else -STEP
            misses = errors([chosen[i] for i in rows], *settings(ks, ahead)) / WEIGHT
            soft = np.sign(misses) * np.sqrt(2 * (np.sqrt(1 + misses**2) - 1))
            columns[rows, j] = (soft - here[rows]) / (ahead[j] - x[j])
        return np.concatenate([columns, base])

    first = start if near is None else np.array([_at(k, near) for k in ks])
    inside = np.clip(first, low + 1e-6, high - 1e-6)
    best = least_squares(residuals, inside, jac=slopes, bounds=(low, high), max_nfev=MOST if near is None else FEW)
    return settings(ks, best.x)


STEP, MOST, FEW = 1e-3, 20, 6


def _at(k: Knob, near: Found) -> float:
    softs, clocks = near
    value = clocks[k.place[6:]][k.name] if k.place.startswith("clock:") else getattr(softs[k.place], k.name)
    return float(np.log(value)) if k.log else float(value)


def _moved(k: Knob, c: Case) -> bool:
    """Whether a row depends on a constant."""
    return k.place in (c.soft, f"clock:{c.family}") or (c.soft == "torchtitan-eager" and k.place == "torchtitan")


def summary(found: np.ndarray) -> dict[str, float]:
    """Size of the errors of ours / published - 1."""
    sizes = np.abs(np.expm1(found))
    if not len(sizes):
        return {"n": 0}
    return {
        "n": len(sizes), "median": round(float(np.median(sizes)), 4),
        "p90": round(float(np.quantile(sizes, 0.9, method="inverted_cdf")), 4),
        "within_25pct": round(float(np.mean(sizes <= 0.25)), 4), "bias": round(float(np.median(np.expm1(found))), 4),
    }  # fmt: skip


Judged = list[tuple[Case, float]]


def crossed(chosen: list[Case]) -> tuple[dict[str, object], Judged]:
    """Each half judged by constants of the other: summaries, and every left-out error."""
    side = halves(chosen)
    parts = [[c for c in chosen if side[c.block] == h] for h in (0, 1)]
    out: dict[str, object] = {}
    pairs: Judged = []
    for h in (0, 1):
        got = errors(parts[h], *fit(parts[1 - h]))
        pairs += zip(parts[h], got.tolist(), strict=True)
        out[f"fitted_on_{'ba'[h]}_judged_on_{'ab'[h]}"] = summary(got)
    out["left_out"] = summary(np.array([e for _, e in pairs]))
    out["left_out_by_software"] = _by(pairs, lambda c: c.soft)
    out["left_out_by_chips"] = _by(pairs, lambda c: c.family)
    return out, pairs


def _by(pairs: Judged, key: Callable[[Case], str]) -> dict[str, dict[str, float]]:
    return {n: summary(np.array([e for c, e in pairs if key(c) == n])) for n in sorted({key(c) for c, _ in pairs})}


def left_out(chosen: list[Case]) -> dict[str, float]:
    """Every group predicted by constants fitted without it, from those fitted with it as a start."""
    near = fit(chosen)
    groups = sorted({c.row.group.split("/")[0] for c in chosen})
    got = []
    for name in groups:
        rest = [c for c in chosen if c.row.group.split("/")[0] != name]
        own = [c for c in chosen if c.row.group.split("/")[0] == name]
        got.append(errors(own, *fit(rest, near)))
    return summary(np.concatenate(got))


def content(chosen: list[Case], left: Counter[str], *, groups: bool) -> dict[str, object]:
    """The file: errors of what was left out, and constants from both halves together."""
    judged, pairs = crossed(chosen)
    softs, clocks = fit(chosen)
    error = judged | ({"leave_one_group_out": left_out(chosen)} if groups else {})
    error["not_left_out"] = summary(errors(chosen, softs, clocks))
    return {
        "source": "published throughput: Megatron-LM, Megatron-Bridge, llm-foundry, torchtitan, MaxText and papers",
        "protocol": " ".join(__doc__.split("\n\n")[2].split()),
        "error": error,
        "rejected": dict(left.most_common()),
        "frameworks": {name: _kept(name, softs[name], chosen, pairs) for name in (*FREE, *DERIVED)},
        "sustained": {f: {k: round(v, 4) for k, v in table.items()} for f, table in clocks.items()},
    }


DERIVED = {"torchtitan-eager": "torchtitan"}


def _kept(name: str, soft: Framework, chosen: list[Case], pairs: Judged) -> dict[str, object]:
    """A class's constants with the spread of its left-out errors."""
    names = FREE.get(DERIVED.get(name, name), ())
    count = sum(c.soft == name for c in chosen)
    source = f"fitted on {count} published runs" if count and names else "assumed"
    values: dict[str, object] = {k: round(getattr(soft, k), 5) for k in names}
    return values | {"spread": _sigma([e for c, e in pairs if c.soft == name]), "source": source}


def _sigma(found: list[float]) -> float:
    """Standard deviation that covers nine of ten left-out errors, at least 5 %; 30 % where fewer than five are."""
    if len(found) < 5:
        return 0.3
    return round(max(0.05, float(np.quantile(np.abs(found), 0.9, method="inverted_cdf")) / 1.645), 3)


def run(folder: Path, *, groups: bool = True) -> dict[str, object]:
    """Fit, judge, write."""
    chosen, left = cases(read_rows(folder))
    made = content(chosen, left, groups=groups)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    return made


if __name__ == "__main__":
    made = run(Path(sys.argv[1]), groups="--quick" not in sys.argv)
    print(json.dumps({k: made[k] for k in ("error", "rejected", "frameworks", "sustained")}, indent=1))
