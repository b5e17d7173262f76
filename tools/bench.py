"""Speed of the counts, beside a plain baseline in the same run: python tools/bench.py [--json].

Baselines: for a sweep, the same formulas evaluated one workload at a time; for one count, the sum over the rows of
the ledger without the compiled form; for a start, the interpreter doing nothing; for a prediction, llm-analysis; for a
meter, the training step alone (baseline/ours is below one there: 0.99 is a cost of one per cent); for a trace, what
only parses it.
"""

import json
import subprocess
import sys
import time

import numpy as np

import bench_meter
import bench_predict
import bench_trace
from flopsight.cost import Cost
from flopsight.models.ledger import Ledger
from flopsight.models.load import load
from flopsight.workload import Workload

POINTS = 1_000_000


def best(function, repeats=3):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def sweep(name):
    rng = np.random.default_rng(0)
    batch, seq, past = (rng.integers(low, high, POINTS) for low, high in ((1, 65), (1, 8193), (0, 32769)))
    book = Ledger(load(name))
    book.sweep(1, 1, 1)
    seconds = best(lambda: book.sweep(batch, seq, past))
    single = per_count(book)
    return {"what": f"sweep of {POINTS:,} points, {name}", "seconds": seconds, "baseline_seconds": single * POINTS}


def per_count(book, n=2000):
    workloads = [Workload("prefill", 1 + i % 7, 1 + i, i % 50) for i in range(n)]
    book.total(workloads[0])
    return best(lambda: [book.total(w) for w in workloads]) / n


def one(name):
    book = Ledger(load(name))
    w = Workload("prefill", 1, 2048)
    rows = best(lambda: [sum((r.cost for r in book.rows(w)), Cost()) for _ in range(20)]) / 20
    return {"what": f"one count, {name}", "seconds": per_count(book), "baseline_seconds": rows}


def start(*arguments):
    def run(command):
        return lambda: subprocess.run(command, check=True, capture_output=True)

    ours, nothing = [sys.executable, *arguments], [sys.executable, "-c", "pass"]
    return {
        "what": " ".join(arguments)[:60],
        "seconds": best(run(ours), 5),
        "baseline_seconds": best(run(nothing), 5),
    }


def main():
    rows = [sweep("llama-3.1-70b"), sweep("deepseek-v3"), one("llama-3.1-70b"), one("deepseek-v3")]
    rows += [
        start("-c", "import flopsight"),
        start("-m", "flopsight", "--help"),
        start("-m", "flopsight", "count", "gpt2"),
    ]
    rows += [*bench_predict.rows(), *bench_meter.rows(), *bench_trace.rows()]
    if "--json" in sys.argv:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'':58}{'time':>12}{'a second':>14}{'baseline':>12}{'baseline/ours':>15}")
    for r in rows:
        rate = (POINTS if "sweep" in r["what"] else 1) / r["seconds"]
        base = r["baseline_seconds"]
        beside = "  (baseline not installed)" if base is None else f"{base:11.6f}s{base / r['seconds']:15.2f}"
        print(f"{r['what']:58}{r['seconds']:11.7f}s{rate:14,.0f}{beside}")


if __name__ == "__main__":
    main()
