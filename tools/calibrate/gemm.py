"""Dense matrix products: seven constants a chip and format, one surface a family and format, tested on shapes left out.

Shapes are left out whole: every m of a (n, k) pair, and every pair of an m. Chips are left out whole too: their family
alone then predicts them, which is how far a chip without measurements may be off.
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
from tools.calibrate.surfaces import (
    Axes,
    constants,
    design,
    error_of,
    fit_surface,
    fold_of,
    middle,
    packed,
)

from flopsight.facts import Fact
from flopsight.hardware.catalog import chips, find
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels.efficiency import Efficiency, Machine, Surface, Vector, product_curve, product_seconds
from flopsight.predict.kernels.gemm import activation_bytes, class_of

AXES = Axes(
    m=(1, 4, 16, 17, 32, 33, 64, 65, 128, 129, 256, 257, 512, 513, 1024, 1025, 2048, 4096, 8192, 32768),
    n=(64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536),
    k=(64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536),
)
FORMATS = {
    # table: (key, computed in, bits a weight, rows are rounded up to)
    "bfloat16": ("bf16", "bf16", 16.0, 1), "fp8": ("fp8", "fp8", 8.0, 128),
    "fp8_block": ("fp8_block", "fp8", 8.0, 128), "nvfp4": ("fp4", "fp4", 4.5, 128), "sq": ("int8", "int8", 8.0, 128),
    "int8_wo": ("bf16_w8", "bf16", 8.0, 128), "int4_wo": ("bf16_w4", "bf16", 4.0, 128),
}  # fmt: skip
STARTS = {f"nvidia-a100-sxm4-80gb/{key}": 5e-6 for key in ("bf16_w8", "bf16_w4", "int8")}
"""Seconds of start that are held, since small shapes of these tables are host-bound: those of bf16 on the chip."""
LEFT_OUT = ((10240, 8192),)
"""Pairs (n, k) kept for judging by rows that others picked from the same tables."""
DROPPED = ("nvidia-h100-sxm5-80gb/bf16_w8",)
"""Tables whose host-bound rows were most of them."""
SHAPE = ["system", "gemm_dtype", "m", "n", "k"]
AFTER = {
    "nvidia-h100-sxm5-80gb": "nvidia-a100-sxm4-80gb", "nvidia-h200-sxm-141gb": "nvidia-h100-sxm5-80gb",
    "nvidia-b200-sxm": "nvidia-h200-sxm-141gb", "nvidia-b300-sxm": "nvidia-b200-sxm",
    "nvidia-gb200-nvl72-gpu": "nvidia-h200-sxm-141gb", "nvidia-gb300-nvl72-gpu": "nvidia-gb200-nvl72-gpu",
    "nvidia-rtx-pro-6000-blackwell-server": "nvidia-l40s",
}  # fmt: skip
"""A chip and the one it replaces: kernels are never slower than on that one, where both know the format."""


@dataclass(frozen=True)
class Table:
    """The rows of one chip in one format, and what the model needs to know of both."""

    device: Device
    key: str
    compute: str
    bits: float
    tile: int
    m: Vector
    n: Vector
    k: Vector
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
        """Rates and units; a chip without the format's engine computes in bf16."""
        compute = self.compute if self.device.has(self.compute) else "bf16"
        return Machine(self.device.rate(compute), self.device.bandwidth, self.device.units)

    def physical(self, e: Efficiency, rows: Vector | slice = slice(None)) -> Vector:
        """Seconds of the physical part."""
        m, n, k = self.m[rows], self.n[rows], self.k[rows]
        return product_seconds(e, self.machine, m, n, k, activation_bytes(self.compute), self.bits)

    def predicted(self, e: Efficiency, over: Surface | None, rows: Vector) -> Vector:
        """Seconds as the package computes them, floors and monotone curves in."""
        found = np.empty(len(self.t))
        each = activation_bytes(self.compute)
        for n, k in {(n, k) for n, k in zip(self.n[rows], self.k[rows], strict=True)}:
            here = rows & (self.n == n) & (self.k == k)
            found[here] = product_curve(e, over, self.machine, int(n), int(k), each, self.bits)(self.m[here])
        return found[rows]

    @property
    def ceiling(self) -> float:
        """Clock peak over the data sheet, at least 1."""
        clock = find(self.device.id).peak(self.compute, basis="clock")
        return max(1.0, float(clock.value) / self.machine.rate) if isinstance(clock, Fact) else 1.0


def run(folder: Path) -> dict[str, Any]:
    """Everything of gemm.json."""
    rejected: Counter[str] = Counter()
    found = _read(folder, rejected)
    rejected["older chip faster by a tenth, shapes (kept; the prediction is capped)"] = _older_faster(found)
    fitted = {one.name: _constants(one) for one in found}
    surfaces = {family: _surface(_of(found, family), fitted) for family in sorted({one.family for one in found})}
    errors = {one.name: _errors(one, found, fitted, surfaces[one.family]) for one in found}
    by_chip: dict[str, Any] = {}
    for one in found:
        spread = max(errors[one.name]["pairs left out"]["spread"], errors[one.name]["m left out"]["spread"])
        e = replace(fitted[one.name], spread=round(spread, 3))
        by_chip.setdefault(one.device.id, {})[one.key] = {**_short(e), "surface": one.family}
    return {
        "source": "aiconfigurator-core 0.12.0 systems/data/*/gemm, Apache-2.0",
        "protocol": " ".join((__doc__ or "").split()) + " " + " ".join((gates.__doc__ or "").split()),
        "error": errors, "rejected": dict(rejected), "axes": asdict(AXES), "after": AFTER, "chips": by_chip,
        "classes": _classes(found, fitted, errors), "surfaces": {name: packed(one) for name, one in surfaces.items()},
    }  # fmt: skip


def _read(folder: Path, rejected: Counter[str]) -> list[Table]:
    rows = gates.tables(folder / "data", "gemm", ["gemm_dtype", "m", "n", "k"])
    rejected["rows read (not a rejection)"] = rows.height
    rows = gates.not_host_bound(rows.filter(pl.col("gemm_dtype").is_in(FORMATS)), ["gemm_dtype"], rejected)
    found = []
    for (system, dtype), group in rows.group_by("system", "gemm_dtype", maintain_order=True):
        found.append(_table(str(system), str(dtype), group, rejected))
    return sorted((one for one in found if one.name not in DROPPED), key=lambda one: one.name)


def _table(system: str, dtype: str, rows: pl.DataFrame, rejected: Counter[str]) -> Table:
    key, compute, bits, tile = FORMATS[dtype]
    least = 64 if dtype in ("bfloat16", "fp8") else 128
    rows = rows.filter((pl.col("n") >= least) & (pl.col("k") >= least))
    device = device_of(find(gates.IDS[system]))
    if compute == "fp8" and not device.has("fp8"):  # weights are stored in fp8 and multiplied in bf16
        key, compute = "bf16_w8", "bf16"
    empty = np.empty(0)
    one = Table(device, key, compute, bits, tile, empty, empty, empty, empty)
    light = pl.max_horizontal(
        2.0 * pl.col("m") * pl.col("n") * pl.col("k") / (one.machine.rate * one.ceiling),
        pl.col("n") * pl.col("k") * bits / 8 / device.bandwidth,
    )
    rejected["below light speed"] += int(rows.select((pl.col("t") < light).sum()).item())
    rows = gates.best_two(rows.filter(pl.col("t") >= light), SHAPE)
    for n, k in LEFT_OUT:
        rows = rows.filter((pl.col("n") != n) | (pl.col("k") != k))
    m, n_, k_, t = (rows[name].to_numpy().astype(float) for name in ("m", "n", "k", "t"))
    return replace(one, m=m, n=n_, k=k_, t=t)


def _of(found: list[Table], family: str) -> list[Table]:
    return [one for one in found if one.family == family]


def _constants(one: Table, rows: Vector | None = None, first: Efficiency | None = None) -> Efficiency:
    """The constants of a table, on some of its rows."""
    chosen = np.arange(len(one.t)) if rows is None else np.flatnonzero(rows)
    guess = first or Efficiency(3e-6, 0.75, 0.8, tile=one.tile, ceiling=one.ceiling)
    held = STARTS.get(one.name)
    return constants(lambda e, at: one.physical(e, chosen[at]), one.t[chosen], guess, held)


def _surface(family: list[Table], fitted: dict[str, Efficiency], kept: dict[str, Vector] | None = None) -> Surface:
    """One surface under all chips of a family, on the rows kept."""
    weights, y = [], []
    for one in family:
        rows = np.ones(len(one.t), bool) if kept is None else kept[one.name]
        weights.append(design(AXES, one.m[rows], one.n[rows], one.k[rows]))
        y.append(np.log2(one.t[rows] / one.physical(fitted[one.name], rows)))
    return fit_surface(AXES, sp.vstack(weights).tocsr(), np.concatenate(y))


def _errors(one: Table, found: list[Table], fitted: dict[str, Efficiency], over: Surface) -> dict[str, Any]:
    """By what was left out; the pairs' and m's test is on one fifth."""
    family = _of(found, one.family)
    every = np.ones(len(one.t), bool)
    result: dict[str, Any] = {"fitted": error_of(one.predicted(fitted[one.name], over, every), one.t)}
    for name, key in (("pairs left out", lambda x: fold_of(x.n, x.k)), ("m left out", lambda x: fold_of(x.m))):
        kept = {x.name: key(x) != 0 for x in family}
        again = {**fitted, one.name: _constants(one, kept[one.name], fitted[one.name])}
        rows = ~kept[one.name]
        result[name] = error_of(one.predicted(again[one.name], _surface(family, again, kept), rows), one.t[rows])
    result["chip left out"] = _elsewhere(one, found, fitted)
    return result


def _elsewhere(one: Table, found: list[Table], fitted: dict[str, Efficiency]) -> dict[str, Any]:
    """The chip as its family predicts it, else as every other chip of its format does."""
    family = [x for x in _of(found, one.family) if x.name != one.name]
    others = family or [x for x in found if x.key == one.key and x.name != one.name]
    if not others:
        return {}
    each, _ = proportions(others)
    e = replace(middle([fitted[x.name] for x in others]), ceiling=one.ceiling)
    e = e.on(min(max(one.machine.rate / one.machine.units / each, 0.25), 4.0))
    over = _surface(family, fitted) if family else None
    rows = fold_of(one.n, one.k) < 2
    return {**error_of(one.predicted(e, over, rows), one.t[rows]), "from": "family" if family else "all chips"}


def proportions(chips: list[Any]) -> tuple[float, float]:
    """The median rate a unit, and FLOP/s over B/s."""
    machines = [x.machine for x in chips]
    each, balance = [x.rate / x.units for x in machines], [x.rate / x.bandwidth for x in machines]
    return float(f"{np.median(each):.4g}"), float(f"{np.median(balance):.4g}")


def _older_faster(found: list[Table]) -> int:
    """Shapes at which the chip that came before was measured faster."""
    by_name = {one.name: one for one in found}
    count = 0
    for one in found:
        before = by_name.get(f"{AFTER.get(one.device.id, '')}/{one.key}")
        if before is not None:
            times = dict(zip(zip(before.m, before.n, before.k, strict=True), before.t, strict=True))
            shapes = zip(one.m, one.n, one.k, strict=True)
            count += sum(bool(1.1 * times.get(shape, np.inf) < t) for shape, t in zip(shapes, one.t, strict=True))
    return count


def _classes(found: list[Table], fitted: dict[str, Efficiency], errors: dict[str, Any]) -> dict[str, Any]:
    """The median of each family's chips, and of all chips, with what leaving a chip out showed as spread."""
    classes: dict[str, Any] = {}
    for key in sorted({one.key for one in found}):
        members = [one for one in found if one.key == key]
        groups = {family: _of(members, family) for family in sorted({one.family for one in members})}
        worst = [
            0.4,
            *(off["spread"] for x in members if (off := errors[x.name]["chip left out"]).get("from") == "all chips"),
        ]
        for family, alike in groups.items():
            known = [errors[x.name]["chip left out"].get("spread", 0.4) for x in alike]
            spread = float(np.median(known if len(alike) > 1 else worst))
            e = replace(middle([fitted[x.name] for x in alike]), spread=round(spread, 3), ceiling=1.0)
            each, balance = proportions(alike)
            found_here = {**_short(e), "surface": family, "each": each, "balance": balance}
            classes.setdefault(family.rpartition("/")[0], {})[key] = found_here
        if len(members) > 1:
            e = replace(
                middle([fitted[x.name] for x in members]), spread=round(float(np.median(worst)), 3), ceiling=1.0
            )
            classes.setdefault("any", {})[key] = _short(e)
    classes.update(_unmeasured(classes["any"]))
    return classes


def _unmeasured(known: dict[str, Any]) -> dict[str, Any]:
    """Families without tables: the median of all chips, with the large shapes' share from published best products.

    Those of CDNA and Gaudi are medians over the catalogue's records; that of TPUs is assumed, and so are their starts.
    """
    kinds = {"CDNA": 0.97 * _published("CDNA"), "Gaudi": 0.97 * _published("Gaudi"), "TPU": 0.93}
    wide = {"CDNA": 0.4, "Gaudi": 0.4, "TPU": 0.3}
    return {
        family: {
            key: {**known[key], "compute": round(share, 3), "spread": wide[family],
                  **({"start": 1.5e-6} if family == "TPU" else {})}
            for key in ("bf16", "fp8")
        }
        for family, share in kinds.items()
    }  # fmt: skip


def _published(family: str) -> float:
    """The median over a family's records of the best published bf16 product over the data sheet."""
    shares = []
    for chip in chips():
        best, stated = chip.peak("bf16", basis="measured"), chip.peak("bf16")
        if chip.record.architecture.family == family and isinstance(best, Fact) and isinstance(stated, Fact):
            shares.append(float(best.value) / float(stated.value))
    return float(np.median(shares))


def _short(e: Efficiency) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in asdict(e).items()}
