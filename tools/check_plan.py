"""How far layouts are ranked as they were measured: python tools/check_plan.py SYSTEMS|- [ROWS]

SYSTEMS (or "-" to leave it out) is `systems` of an unpacked aiconfigurator-core: pairs of serving runs that differ in
nothing but their layout, with the same requests in flight for each device, as copies of a smaller layout have. ROWS is
a folder of published training rows: where the printed layout stands in the ranking, and how much slower it is
predicted than the best.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import log
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from calibrate.serving_points import SYSTEMS, Point, book_of, points
from flopsight.errors import UsageError
from flopsight.hardware.catalog import find
from flopsight.predict.device import device_of
from flopsight.predict.engines.catalog import engine
from flopsight.predict.framework import framework
from flopsight.predict.serve import serve
from flopsight.search import training
from flopsight.search.layouts import Tally
from flopsight.validate.predicted.serving import formats_of, laid
from flopsight.validate.predicted.training_run import Run, class_of, run_of
from flopsight.validate.rows import read_rows

GAPS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 10.0)


@dataclass(frozen=True)
class Rated:
    """A run with output tokens a second and device, measured and predicted."""

    point: Point
    measured: float
    predicted: float


def rated(folder: Path, p: Point) -> Rated:
    """Closed loop: each client gets osl tokens in ttft + (osl - 1)·tpot."""
    book, device = book_of(folder, p.model), device_of(find(SYSTEMS[p.system]))
    found = serve(
        book, device, laid(book, p.tp, p.dp, p.ep), formats_of(book, device, p.gemm, p.moe, p.backend), p.requests,
        engine(p.backend),
    )  # fmt: skip
    count, osl = p.tp * p.dp, p.requests.osl
    rates = [
        p.c * osl / (ttft + (osl - 1) * tpot) / count for ttft, tpot in ((p.ttft, p.tpot), (found.ttft, found.tpot))
    ]
    return Rated(p, *rates)


def pairs(folder: Path) -> list[tuple[Rated, Rated]]:
    """Clean runs of the same everything but the layout, and the same load a device."""
    groups: dict[tuple[Any, ...], list[Point]] = defaultdict(list)
    for p in points(folder):
        if not p.why:
            load = p.c / (p.tp * p.dp)
            groups[p.family, p.model, p.system, p.backend, p.version, p.gemm, p.moe, p.isl, p.osl, load].append(p)
    found = []
    for some in groups.values():
        if len({(p.tp, p.dp, p.ep, p.etp) for p in some}) > 1:
            every = [rated(folder, p) for p in some]
            found += [(a, b) for a, b in combinations(every, 2) if layout(a) != layout(b)]
    return found


def layout(one: Rated) -> tuple[int, ...]:
    """Its degrees."""
    return one.point.tp, one.point.dp, one.point.ep, one.point.etp


def order(found: list[tuple[Rated, Rated]]) -> None:
    """Of pairs by the gap predicted between them: how many are in the measured order, and what a wrong choice costs."""
    print(f"serving: {len(found)} pairs of layouts, otherwise alike")
    print("predicted gap   pairs   in order   median |measured gap|   lost by choosing as predicted")
    rows = [(log(a.predicted / b.predicted), log(a.measured / b.measured)) for a, b in found]
    for low, high in pairwise(GAPS):
        some = [(p, m) for p, m in rows if low <= abs(p) < high]
        if some:
            right = sum(p * m > 0 for p, m in some)
            lost = sum(0.0 if p * m > 0 else abs(m) for p, m in some) / len(some)
            gap = median(abs(m) for _, m in some)
            ends = f"{low:4.0%} to {min(high, 9.99):4.0%}"
            print(f"{ends}  {len(some):6d} {right / len(some):9.0%} {gap:18.0%} {lost:12.1%}")
    right = sum(p * m > 0 for p, m in rows)
    lost = sum(0.0 if p * m > 0 else abs(m) for p, m in rows) / len(rows)
    blind = sum(abs(m) for _, m in rows) / 2 / len(rows)
    print(
        f"all: {right / len(rows):.0%} in order; choosing as predicted loses {lost:.1%}, choosing at random {blind:.1%}"
    )
    residual = sorted(p - m for p, m in rows)
    low, high = (residual[len(rows) * share // 10] for share in (1, 9))
    print(f"error of a predicted ratio: 10th {low:+.2f}, 90th {high:+.2f} (log)")


def ranks(folder: Path) -> None:
    """Where printed layouts of training runs stand."""
    found, seen = [], set()
    for row in read_rows(folder):
        if row.kind != "train_mfu" or not (row.parallelism.get("tp") or row.parallelism.get("pp")):
            continue
        run = run_of(row)
        key = (str(row.model.get("name")), row.hardware.get("name"), row.dtype, row.parallelism.get("tp"))
        if isinstance(run, Run) and run.device.kind == "gpu" and key not in seen:
            seen.add(key)
            found += _rank(row.id, run, class_of(row))
            if sys.stderr.isatty() and found:
                print(found[-1], file=sys.stderr)
    print(f"training: {len(found)} printed layouts")
    print("row                                                       rank of   slower than the best   layout -> best")
    for name, rank, of, slower, told in sorted(found, key=lambda r: r[3]):
        print(f"{name[:56]:56s} {rank:5d} {of:5d}   {slower:8.1%}   {told}")
    if found:
        shares = [slower for *_, slower, _ in found]
        high = sorted(shares)[int(0.9 * len(shares))]
        first = sum(r[1] <= 3 for r in found)
        print(f"slower than the best: median {median(shares):.1%}, 90th {high:.1%}; first 3: {first} of {len(found)}")


def _rank(name: str, run: Run, soft: Any) -> list[tuple[str, int, int, float, str]]:
    ask = training.TrainAsk(
        run.book, run.device, run.plan.devices, framework(soft) if isinstance(soft, str) else soft, run.formats,
        run.batch.seq, run.batch.global_batch, run.batch.optimizer,
    )  # fmt: skip
    try:
        kept = training.distinct(training.search(ask, Tally()))
        own = [one for one in kept if _same(one, run)]
    except UsageError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return []
    if not own:
        print(f"{name}: {run.plan} is not among the {len(kept)} that fit", file=sys.stderr)
        return []
    at = kept.index(own[0]) + 1
    slower = own[0].step.seconds / kept[0].step.seconds - 1
    return [(name, at, len(kept), slower, f"{own[0].plan} -> {kept[0].plan}")]


def _same(one: training.Run, run: Run) -> bool:
    a, b = one.plan, run.plan
    return (a.tp, a.pp, a.cp, a.dp) == (b.tp, b.pp, b.cp, b.dp) and (a.ep == b.ep or not run.plan.ep > 1)


if __name__ == "__main__":
    if sys.argv[1] != "-":
        order(pairs(Path(sys.argv[1])))
    if len(sys.argv) > 2:
        ranks(Path(sys.argv[2]))
