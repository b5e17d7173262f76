"""Fits what engines for static batches add to kernels: python tools/calibrate/generation.py FOLDER_OF_ROWS.

The protocol stands below and in the file it writes.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flopsight.predict.engines import catalog, generation, habits
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import Forward
from flopsight.predict.kernels import roofline
from flopsight.validate.predicted import generation as rows_of
from flopsight.validate.rows import Row, read_rows

OUT: Final = Path(__file__).parents[2] / "src/flopsight/predict/data/generation.json"
PROTOCOL: Final = (
    "Blocks of published rows (group, model, device, layout, format, lengths) dealt to two halves by rank of their "
    "SHA-256. Errors are those of each half under constants fitted on the other; the constants shipped are fitted on "
    "both. Coordinate descent on the mean of sqrt(e^2 + 0.05^2), e = log(predicted / published) clipped at 0.8. Rows "
    "of quality B and rows with a known fault are in neither."
)
FIELDS: Final = {
    "eager": ("eager", "per_sequence", "per_routing"), "compile": ("host", "per_layer", "per_collective", "kernels"),
    "llamacpp": ("per_layer", "kernels", "prefills"), "megatron2021": ("eager", "per_sequence"),
    "fastertransformer": ("per_layer", "per_collective", "kernels", "prefills"),
    "trtllm2023": ("per_layer", "per_collective"), "deepspeed": ("per_layer", "per_sequence"),
    "neuron": ("per_layer", "kernels", "prefills"),
}  # fmt: skip
HABITS: Final = {"llamacpp": ("draw", "operations"), "neuron": ("gathering",), "compile": ("narrow",)}
FAMILIES: Final = {"llamacpp": "Apple GPU"}
STARTS: Final = {"per_routing": 3e-3, "per_collective": 20e-6, "per_sequence": 0.3e-3, "host": 0.3e-3}
CLIP: Final = 0.8
SOFT: Final = 0.05
FEW: Final = 5
"""Errors of one kind that make a spread of its own."""
NOTHING: Final = 2e-7
"""Seconds that are no term any more."""
LEAST: Final = 0.10
"""No engine is surer than this: rows are few and of one laboratory each."""


def main() -> None:
    """Write the file and print what was found."""
    found = run(Path(sys.argv[1]))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["error"], indent=1))


def run(folder: Path) -> dict[str, Any]:
    """The content of generation.json from a folder of rows."""
    _memoize()
    halves = _halves([row for row in read_rows(folder) if _ours(row)])
    state: dict[str, Any] = {"engines": dict(generation._DEFAULTS), "habits": dict(habits._ASSUMED)}
    error = {}
    for name in FIELDS:
        error[name] = _crossed(state, name, *halves[name])
        _descend(state, name, [row for half in halves[name] for row in half])
    return {
        "source": "published rows of static batches, each with its own source; constants only",
        "protocol": PROTOCOL, "error": error, "engines": _shipped(state, error), "habits": _rounded(state["habits"]),
    }  # fmt: skip


def _ours(row: Row) -> bool:
    return row.set == "clean" and row.kind in ("prefill", "decode", "serving") and rows_of.case_of(row) is not None


def _halves(rows: list[Row]) -> dict[str, tuple[list[Row], list[Row]]]:
    """Rows by engine, first and second half."""
    blocks: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        case = rows_of.case_of(row)
        if isinstance(case, rows_of.Case):
            key = json.dumps([row.group, *map(str, _block(row))])
            blocks[case.engine.name][hashlib.sha256(key.encode()).hexdigest()].append(row)
    found = {}
    for name, parts in blocks.items():
        order = sorted(parts)
        found[name] = ([r for k in order[::2] for r in parts[k]], [r for k in order[1::2] for r in parts[k]])
    return found


def _block(row: Row) -> tuple[object, ...]:
    lengths = row.workload.get("isl"), row.workload.get("osl")
    return row.model.get("name"), row.hardware.get("key"), dict(row.parallelism), row.dtype, *lengths


def _memoize() -> None:
    """Kernels do not change during the fit."""
    for name in ("lines", "seconds"):
        setattr(Forward, name, _kept(getattr(Forward, name)))


def _kept(method: Callable[..., Any]) -> Callable[..., Any]:
    memory: dict[Any, Any] = {}

    def kept(self: Forward, *args: Any, **more: Any) -> Any:
        key = (id(self), *(a.tobytes() if hasattr(a, "tobytes") else a for a in args), *more.items())
        if key not in memory:
            memory[key] = (self, method(self, *args, **more))
        return memory[key][1]

    return kept


def _install(state: dict[str, Any]) -> None:
    for cached in (catalog.engines, generation.generation_engines, habits._seen):
        cached.cache_clear()
    generation.generation_engines = lru_cache(1)(lambda: state["engines"])  # type: ignore[assignment]
    catalog.generation_engines = generation.generation_engines  # type: ignore[attr-defined]
    habits.coefficients = lambda _: {"habits": state["habits"]}  # type: ignore[assignment]


def _errors(state: dict[str, Any], rows: list[Row], only: str = "") -> list[float]:
    """log(ours / published) of every measured quantity, or of those of prompts ("ttft") or of decode ("tpot") only."""
    _install(state)
    found = []
    for row in rows:
        for figure in rows_of.predict(row) or ():
            kind = "ttft" if row.kind == "prefill" or figure.quantity.startswith("ttft") else "tpot"
            if only not in ("", kind):
                continue
            if figure.ours and figure.published and figure.quantity not in ("output_tokens_per_s", "total_latency_ms"):
                found.append(math.log(figure.ours / figure.published))
    return found


def _loss(state: dict[str, Any], rows: list[Row]) -> float:
    return statistics.fmean(math.hypot(min(abs(e), CLIP), SOFT) for e in _errors(state, rows))


def _descend(state: dict[str, Any], name: str, rows: list[Row]) -> None:
    """Each number up and down by shrinking steps until none helps."""
    one: Engine = state["engines"][name]
    starts = {f: STARTS[f] for f in FIELDS[name] if f in STARTS and not getattr(one, f)}
    state["engines"][name] = replace(one, source="fitted, see protocol", **starts)
    best, step = _loss(state, rows), 2.0
    while step > 1.02:
        moved = False
        for change in _changes(state, name):
            for times in (step, 1 / step):
                old = change(times)
                loss = _loss(state, rows)
                if loss < best - 1e-6:
                    best, moved = loss, True
                    break
                old()
        step = step if moved else math.sqrt(step)


def _changes(state: dict[str, Any], name: str) -> list[Callable[[float], Callable[[], None]]]:
    """Functions that multiply one number and return what undoes it."""

    def field(which: str) -> Callable[[float], Callable[[], None]]:
        def change(times: float) -> Callable[[], None]:
            old = state["engines"][name]
            state["engines"][name] = replace(old, **{which: getattr(old, which) * times})
            return lambda: state["engines"].__setitem__(name, old)

        return change

    def habit(which: str) -> Callable[[float], Callable[[], None]]:
        def change(times: float) -> Callable[[], None]:
            old = state["habits"][which]
            state["habits"][which] = old * times
            return lambda: state["habits"].__setitem__(which, old)

        return change

    def family(which: str) -> Callable[[float], Callable[[], None]]:
        def change(times: float) -> Callable[[], None]:
            old = state["engines"][name]
            state["engines"][name] = replace(old, families={which: old.speed(which) * times})
            return lambda: state["engines"].__setitem__(name, old)

        return change

    found = [field(f) for f in FIELDS[name]] + [habit(h) for h in HABITS.get(name, ())]
    return found + ([family(FAMILIES[name])] if name in FAMILIES else [])


def _crossed(state: dict[str, Any], name: str, *halves: list[Row]) -> dict[str, Any]:
    """Errors of each half under constants fitted on the other."""
    logs: dict[str, list[float]] = {"tpot": [], "ttft": []}
    for fit, left in (halves, halves[::-1]):
        if fit and left:
            trial = {key: dict(values) for key, values in state.items()}
            _descend(trial, name, fit)
            for kind, found in logs.items():
                found += _errors(trial, left, kind)
    every = [e for found in logs.values() for e in found]
    errors = sorted(abs(math.exp(e) - 1) for e in every)
    return {
        "n": len(errors), "median": round(statistics.median(errors), 3),
        "p90": round(errors[math.ceil(0.9 * len(errors)) - 1], 3), "spread": _spread(every),
        "spreads": {kind: _spread(found) for kind, found in logs.items() if len(found) >= FEW},
    }  # fmt: skip


def _spread(logs: list[float]) -> float:
    return round(max(LEAST, math.sqrt(statistics.fmean(min(abs(e), CLIP) ** 2 for e in logs))), 3)


def _shipped(state: dict[str, Any], error: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name in FIELDS:
        one: Engine = state["engines"][name]
        fixed: dict[str, Any] = {"graphs": False} if not one.graphs else {}
        if one.chunk < generation.UNBOUNDED:
            fixed["chunk"] = one.chunk
        fitted = _rounded({f: getattr(one, f) for f in ("host", *FIELDS[name]) if getattr(one, f) > NOTHING})
        own = {each: error[name][each] for each in ("spread", "spreads")}
        families = {"families": _rounded(dict(one.families))} if one.families else {}
        found[name] = {**fixed, **fitted, **families, **own, "source": "fitted, see protocol"}
    return found


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {k: float(f"{v:.3g}") for k, v in values.items()}


if __name__ == "__main__":
    roofline.coefficients.cache_clear()
    main()
