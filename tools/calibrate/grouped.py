"""Grouped products of routed experts, from fused expert layers: up and gate in one product, activation, down.

The tables time whole layers, so the constants are those under which both products and the activation add up to the
layer; what routing, permuting and combining cost is inside. Only rows with balanced experts that all lie on the chip
count: their load is known, and no other chip's tokens are sorted with them. The fastest of at least two backends stands
for a shape, since grouped kernels differ far more between backends than dense ones.
Layers are left out whole (width, inner width, experts and visits together), and numbers of tokens, and chips.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from tools.calibrate import gates
from tools.calibrate.gemm import proportions
from tools.calibrate.surfaces import Axes, constants, design, error_of, fit_surface, fold_of, middle, packed

from flopsight.hardware.catalog import find
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels.efficiency import Efficiency, Machine, Surface, Vector
from flopsight.predict.kernels.gemm import class_of
from flopsight.predict.kernels.grouped import grouped_physical, grouped_time, machine_of
from flopsight.predict.kernels.vector import vector_seconds

AXES = Axes(
    m=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384),
    n=(1, 4, 16, 64, 256, 512),
    k=(2**16, 2**18, 2**20, 2**22, 2**24, 2**26),
)
"""Rows of an expert, experts visited, and n·k."""
FORMATS = {
    "bfloat16": ("bf16", "bf16", 16.0), "fp8": ("fp8", "fp8", 8.0), "fp8_block": ("fp8_block", "fp8", 8.0),
    "nvfp4": ("fp4", "fp4", 4.5), "int4_wo": ("bf16_w4", "bf16", 4.25), "w4a16_mxfp4": ("bf16_w4", "bf16", 4.25),
    "w4a8_mxfp4_mxfp8": ("fp8_w4", "fp8", 4.25),
}  # fmt: skip
AFTER = {
    "nvidia-h200-sxm-141gb": "nvidia-h100-sxm5-80gb", "nvidia-b200-sxm": "nvidia-h100-sxm5-80gb",
    "nvidia-b300-sxm": "nvidia-b200-sxm", "nvidia-gb200-nvl72-gpu": "nvidia-h100-sxm5-80gb",
    "nvidia-gb300-nvl72-gpu": "nvidia-gb200-nvl72-gpu",
}  # fmt: skip
"""A chip and one it is never slower than, where both know the format."""
LAYER = ["num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size"]
UNGATED = [{"hidden_size": h, "topk": k} for h, k in ((2688, 6), (1024, 22), (4096, 22), (8192, 22))]
"""Layers whose experts have no gate (squared ReLU); their tables do not say so everywhere, and they are dropped."""
NARROWEST = 128
ENOUGH = 300
UNLIKE = ("nvidia-b200-sxm/bf16_w4",)
"""Tables whose shapes were timed by different kernels up to seven times apart; their families stand for them."""


@dataclass(frozen=True)
class Table:
    """The layers of one chip in one format."""

    device: Device
    key: str
    compute: str
    bits: float
    tokens: Vector
    rows: Vector
    visited: Vector
    width: Vector
    inner: Vector
    layer: Vector
    t: Vector

    @property
    def name(self) -> str:
        """Chip and format."""
        return f"{self.device.id}/{self.key}"

    @property
    def family(self) -> str:
        """The class whose surface it shares."""
        return f"{class_of(self.device)}/{self.key}"

    @property
    def machine(self) -> Machine:
        """Rates and units."""
        return machine_of(self.device, self.compute)

    def products(self) -> tuple[tuple[Vector, Vector], tuple[Vector, Vector]]:
        """(n, k) of up with gate, and of down."""
        return (2 * self.inner, self.width), (self.width, self.inner)

    def at(self, rows: Vector) -> Table:
        """Some of the rows."""
        names = ("tokens", "rows", "visited", "width", "inner", "layer", "t")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def activation(self) -> Vector:
        """Seconds between the products."""
        found: Vector = np.asarray(vector_seconds(self.device, self.rows * 3 * self.inner * 2), float)
        return found

    def physical(self, e: Efficiency) -> tuple[Vector, Vector]:
        """Seconds of each product by the physical part."""
        machine = machine_of(self.device, self.compute)
        up, down = (
            grouped_physical(e, machine, self.rows, self.visited, n, k, self.compute, self.bits)
            for n, k in self.products()
        )
        return up, down

    def whole(self, e: Efficiency) -> Vector:
        """Seconds of the layer by the physical part."""
        up, down = self.physical(e)
        return up + down + self.activation()

    def predicted(self, e: Efficiency, over: Surface | None) -> Vector:
        """Seconds of the layer as the package computes it."""
        machine = machine_of(self.device, self.compute)
        total = self.activation()
        for n, k in self.products():
            total = total + grouped_time(e, over, machine, self.rows, self.visited, n, k, self.compute, self.bits)
        return total


def run(folder: Path) -> dict[str, Any]:
    """Everything of grouped.json."""
    rejected: Counter[str] = Counter()
    found = _read(folder, rejected)
    fitted = {one.name: _constants(one) for one in found}
    surfaces = {family: _surface(_of(found, family), fitted) for family in sorted({one.family for one in found})}
    errors = {one.name: _errors(one, found, fitted, surfaces[one.family]) for one in found}
    chips: dict[str, Any] = {}
    for one in found:
        spread = max(errors[one.name][which]["spread"] for which in ("layers left out", "tokens left out"))
        chips.setdefault(one.device.id, {})[one.key] = {
            **_short(replace(fitted[one.name], spread=round(spread, 3))), "surface": one.family,
        }  # fmt: skip
    return {
        "source": "aiconfigurator-core 0.12.0 systems/data/*/moe, Apache-2.0",
        "protocol": " ".join((__doc__ or "").split()) + " " + " ".join((gates.__doc__ or "").split()),
        "error": errors, "rejected": dict(rejected), "axes": asdict(AXES), "after": AFTER, "chips": chips,
        "classes": _classes(found, fitted, errors), "surfaces": {name: packed(one) for name, one in surfaces.items()},
    }  # fmt: skip


def _read(folder: Path, rejected: Counter[str]) -> list[Table]:
    columns = ["moe_dtype", "distribution", "kernel_source", *LAYER]
    rows = gates.tables(folder / "data", "moe", columns, "moe_perf")
    rejected["rows read (not a rejection)"] = rows.height
    balanced = pl.col("distribution") == "balanced"
    rejected["skewed load, whose rows are not said"] = rows.filter(~balanced).height
    rows = rows.filter(balanced & pl.col("moe_dtype").is_in(FORMATS))
    alone = pl.col("moe_ep_size") == 1
    rejected["a share of the experts, with every chip's tokens"] = rows.filter(~alone).height
    rows = rows.filter(alone)
    ungated = pl.col("kernel_source").str.contains("nongated") | pl.struct("hidden_size", "topk").is_in(UNGATED)
    rejected["experts without a gate"] = rows.filter(ungated).height
    rows = rows.filter(~ungated).with_columns(pl.col("moe_dtype").replace_strict(FORMATS_KEY).alias("key"))
    rows = gates.not_host_bound(rows, ["key"], rejected)
    tables = [
        _table(str(system), str(key), group, rejected)
        for (system, key), group in rows.group_by("system", "key", maintain_order=True)
    ]
    rejected["kernels of unlike kinds under one name, layers"] = sum(len(x.t) for x in tables if x.name in UNLIKE)
    kept = (one for one in tables if len(one.t) >= ENOUGH and one.name not in UNLIKE)
    return sorted(kept, key=lambda one: one.name)


FORMATS_KEY = {name: key for name, (key, _, _) in FORMATS.items()}


def _table(system: str, key: str, rows: pl.DataFrame, rejected: Counter[str]) -> Table:
    compute, bits = next((c, b) for k, c, b in FORMATS.values() if k == key)
    device = device_of(find(gates.IDS[system]))
    rows = _believable(rows, device, compute, bits, rejected)
    rows = gates.fastest(rows, LAYER)
    c = {name: rows[name].to_numpy().astype(float) for name in [*LAYER, "t"]}
    visits = c["num_tokens"] * c["topk"] / c["moe_ep_size"]
    visited = np.minimum(c["num_experts"] / c["moe_ep_size"], np.maximum(visits, 1))
    layer = fold_of(c["hidden_size"], c["inter_size"], c["num_experts"], c["topk"])
    one = Table(
        device, key, compute, bits, c["num_tokens"], visits, visited, c["hidden_size"],
        c["inter_size"] / c["moe_tp_size"], layer, c["t"],
    )  # fmt: skip
    odd = (visits < 1) | (one.inner < NARROWEST)
    rejected["under one visit, or narrower than a tile"] += int(odd.sum())
    return one.at(np.flatnonzero(~odd))


def _believable(rows: pl.DataFrame, device: Device, compute: str, bits: float, rejected: Counter[str]) -> pl.DataFrame:
    """Layers none of whose rows beats light speed: such a table holds fewer experts than it says."""
    machine = machine_of(device, compute)
    size = 3.0 * pl.col("hidden_size") * pl.col("inter_size") / pl.col("moe_tp_size")
    visits = pl.col("num_tokens") * pl.col("topk")
    visited = pl.min_horizontal(visits, pl.col("num_experts"))
    light = pl.max_horizontal(2 * visits * size / (1.1 * machine.rate), visited * size * bits / 8 / machine.bandwidth)
    whole = ["table", "moe_dtype", *(name for name in LAYER if name != "num_tokens")]
    marked = rows.with_columns((pl.col("t") < light).any().over(whole).alias("fast"))
    rejected["layers with rows below light speed"] += int(marked["fast"].sum())
    return marked.filter(~pl.col("fast"))


def _of(found: list[Table], family: str) -> list[Table]:
    return [one for one in found if one.family == family]


def _constants(one: Table, first: Efficiency | None = None) -> Efficiency:
    guess = first or Efficiency(8e-6, 0.6, 0.65)
    return constants(lambda e, at: one.at(at).whole(e), one.t, guess)


def _surface(family: list[Table], fitted: dict[str, Efficiency], kept: dict[str, Vector] | None = None) -> Surface:
    """One surface under both products of all chips of a family; each weighs as its share of the layer."""
    weights, y = [], []
    for table in family:
        one = table if kept is None else table.at(np.flatnonzero(kept[table.name]))
        parts, whole = one.physical(fitted[one.name]), one.whole(fitted[one.name])
        each = np.maximum(one.rows / one.visited, 1.0)
        shares = [
            sp.diags(part / whole) @ design(AXES, each, one.visited, n * k)
            for part, (n, k) in zip(parts, one.products(), strict=True)
        ]
        weights.append(shares[0] + shares[1])
        y.append(np.log2(one.t / whole))
    return fit_surface(AXES, sp.vstack(weights).tocsr(), np.concatenate(y))


def _errors(one: Table, found: list[Table], fitted: dict[str, Efficiency], over: Surface) -> dict[str, Any]:
    family = _of(found, one.family)
    result: dict[str, Any] = {"fitted": error_of(one.predicted(fitted[one.name], over), one.t)}
    for name, key in (("layers left out", lambda x: x.layer), ("tokens left out", lambda x: fold_of(x.tokens))):
        result[name] = _folded(one, family, fitted, key)
    result["chip left out"] = _elsewhere(one, found, fitted)
    return result


def _folded(one: Table, family: list[Table], fitted: dict[str, Efficiency], key: Any) -> dict[str, float]:
    """Over all five folds."""
    predicted, measured = [], []
    for fold in range(5):
        kept = {x.name: key(x) != fold for x in family}
        out = np.flatnonzero(~kept[one.name])
        if len(out):
            again = {**fitted, one.name: _constants(one.at(np.flatnonzero(kept[one.name])), fitted[one.name])}
            predicted.append(one.at(out).predicted(again[one.name], _surface(family, again, kept)))
            measured.append(one.t[out])
    return error_of(np.concatenate(predicted), np.concatenate(measured))


def _elsewhere(one: Table, found: list[Table], fitted: dict[str, Efficiency]) -> dict[str, Any]:
    family = [x for x in _of(found, one.family) if x.name != one.name]
    others = family or [x for x in found if x.key == one.key and x.name != one.name]
    if not others:
        return {}
    over = _surface(family, fitted) if family else None
    each, _ = proportions(others)
    e = middle([fitted[x.name] for x in others]).on(min(max(one.machine.rate / one.machine.units / each, 0.25), 4.0))
    found_error = error_of(one.predicted(e, over), one.t)
    return {**found_error, "from": "family" if family else "all chips"}


def _classes(found: list[Table], fitted: dict[str, Efficiency], errors: dict[str, Any]) -> dict[str, Any]:
    classes: dict[str, Any] = {}
    for key in sorted({one.key for one in found}):
        members = [one for one in found if one.key == key]
        aside = {x.name: errors[x.name]["chip left out"] for x in members}
        worst = [0.4, *(off["spread"] for off in aside.values() if off.get("from") == "all chips")]
        for family in sorted({one.family for one in members}):
            chips = _of(members, family)
            known = [aside[x.name]["spread"] for x in chips] if len(chips) > 1 else worst
            e = replace(middle([fitted[x.name] for x in chips]), spread=round(float(np.median(known)), 3))
            each, balance = proportions(chips)
            here = {**_short(e), "surface": family, "each": each, "balance": balance}
            classes.setdefault(family.rpartition("/")[0], {})[key] = here
        if len(members) > 1:
            e = replace(middle([fitted[x.name] for x in members]), spread=round(float(np.median(worst)), 3))
            classes.setdefault("any", {})[key] = _short(e)
    return classes


def _short(e: Efficiency) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in asdict(e).items()}
