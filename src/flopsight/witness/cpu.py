"""Processors: FLOPs and traffic of memory from perf's, likwid's and PAPI's counters, and from Advisor.

    FLOPs = sum over events of weight * count          weights: processor_events
    bytes = 64 * CAS commands                          of the memory controllers

Counts are summed over threads, cores, sockets and memory channels; runs, regions and groups of likwid stay apart, as
they are counted at other times or may lie in each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from flopsight.trace import Series, Trace
from flopsight.witness.processor_events import FAMILIES, INSTRUCTIONS, Event, Family, plain
from flopsight.witness.testimony import Quantity, Testimony, Trust

FORMATS: Final = frozenset(("perf", "likwid", "papi"))
APART: Final = ("repeat", "region", "group")
Apart = tuple[tuple[str, str], ...]
RATES: Final = {"SP": "fp32", "DP": "fp64", "HP": "fp16", "BF16": "bf16", "FP rate": ""}
"""Rates that likwid's FLOPS groups print, and their number formats."""
VOLUMES: Final[dict[str, Quantity]] = {
    "Memory read data volume [GBytes]": "dram_read", "Memory write data volume [GBytes]": "dram_written",
}  # fmt: skip
RUNTIME: Final = "Runtime (RDTSC) [s]"


def testimonies(trace: Trace) -> tuple[Testimony, ...]:
    """What the counters of processors say."""
    if trace.format == "advisor":
        return advisor(trace)
    if trace.format not in FORMATS:
        return ()
    running = trace.marks.get("running", {})
    return tuple(chain.from_iterable(_of(apart, some, running) for apart, some in _parts(trace.series).items()))


def advisor(trace: Trace) -> tuple[Testimony, ...]:
    """FLOPs of each loop as Advisor's instrumentation counted them: Self GFLOP.

    A fused multiply-add is 2, a division or square root 1, masked lanes are left out. Number formats are not told
    apart. Source: Intel Advisor roofline FAQ, ID 673150.
    """
    metric = trace.metric("Self GFLOP")
    if metric is None:
        return ()
    why = "instrumented in another run than the times, with calls of mathematical libraries as their instructions"
    return (Testimony("Intel Advisor", "flops", metric.values, "Self GFLOP", trust="approximate", why=why),)


def _parts(series: Iterable[Series]) -> dict[Apart, list[Series]]:
    """Series that may be added, by what keeps them apart from others."""
    found: dict[Apart, list[Series]] = {}
    for one in series:
        # a region of PAPI includes those inside of it: only the outermost are added
        if "parent" in one.labels:
            if one.labels["parent"] == "-1":
                found.setdefault((), []).append(one)
        else:
            apart = tuple((name, one.labels[name]) for name in APART if name in one.labels)
            found.setdefault(apart, []).append(one)
    return found


def _of(apart: Apart, series: Sequence[Series], running: Mapping[str, float]) -> Iterator[Testimony]:
    counters = _counters(series)
    spoken: set[str] = set()
    for family in FAMILIES:
        if spoken.isdisjoint(family.unless):
            for one in _family(family, counters, running, apart):
                spoken.add(family.witness)
                spoken.add(one.quantity)
                yield one
    yield from _likwid(series, apart, spoken)
    if "flops" not in spoken:
        yield from _instructions(counters, apart)


def _counters(series: Sequence[Series]) -> dict[str, list[Series]]:
    """Series by plain event; those of one privilege level only where there is none of all."""
    found: dict[str, list[Series]] = {}
    for one in series:
        if "of" not in one.labels:
            found.setdefault(plain(one.name), []).append(one)
    return {name: _whole(some) for name, some in found.items()}


def _whole(series: list[Series]) -> list[Series]:
    every = [one for one in series if ":" not in one.name]
    return every or series


def _family(
    family: Family, counters: Mapping[str, list[Series]], running: Mapping[str, float], apart: Apart
) -> Iterator[Testimony]:
    """One testimony a number format; one for all where an event mixes them."""
    used = _used(family, counters)
    mixed = any(event.parts for event in used)
    by_dtype: dict[str, list[Event]] = {}
    for event in used:
        by_dtype.setdefault("" if mixed else event.dtype, []).append(event)
    for dtype, events in by_dtype.items():
        series = {event: counters[event.name] for event in events}
        value, unknown = _sum(series)
        trust, why = _trust(family, series, unknown, running, [] if mixed else _missing(family, dtype, events))
        yield Testimony(
            family.witness, family.quantity, np.array([value]), _formula(series), trust,
            engine="vector" if family.quantity == "flops" else "", dtype=dtype, over="run", why=why, labels=apart,
        )  # fmt: skip


def _used(family: Family, counters: Mapping[str, list[Series]]) -> list[Event]:
    """Events that were collected, without those that others already contain."""
    there = [event for event in family.events if event.name in counters]
    names = {event.name for event in there}
    sums = [event for event in there if event.parts and not names.issuperset(event.parts)]
    inside = {part for event in sums for part in event.parts}
    return [event for event in there if event in sums or (not event.parts and event.name not in inside)]


def _sum(series: Mapping[Event, Sequence[Series]]) -> tuple[float, list[str]]:
    """The weighted sum, NaN where an event has no value at all; and what is unknown of it."""
    total, unknown = 0.0, []
    for event, some in series.items():
        known = [one.values[~np.isnan(one.values)] for one in some]
        unknown += [
            f"{one.name} ({one.why or 'no value'})" for one, seen in zip(some, known, strict=True)
            if len(seen) < len(one.values)
        ]  # fmt: skip
        if not any(map(len, known)):
            total = float("nan")
        total += sum(
            (1.0 if one.unit == "byte" else event.weight) * float(seen.sum())
            for one, seen in zip(some, known, strict=True)
        )
    return total, list(dict.fromkeys(unknown))


def _trust(
    family: Family, series: Mapping[Event, Sequence[Series]], unknown: list[str], running: Mapping[str, float],
    missing: list[str],
) -> tuple[Trust, str]:  # fmt: skip
    reasons = [family.why] if family.why else []
    if missing:
        reasons.append(f"not collected, so not in it: {', '.join(missing)}")
    if unknown:
        reasons.append(f"unknown in part or as a whole: {', '.join(unknown[:3])}")
    shared = {one.name: running[one.name] for some in series.values() for one in some if one.name in running}
    if shared:
        reasons.append(f"scaled up from {min(shared.values()):.1f} % of the time, as counters took turns")
    loose = bool(missing or unknown or shared)
    return ("approximate" if loose and family.trust == "exact" else family.trust), "; ".join(reasons)


def _missing(family: Family, dtype: str, events: Sequence[Event]) -> list[str]:
    names = {event.name for event in events}
    return [name for name in family.expected.get(dtype, ()) if name not in names]


def _formula(series: Mapping[Event, Sequence[Series]]) -> str:
    parts = []
    for event, some in series.items():
        names = list(dict.fromkeys(one.name for one in some))
        weight = "" if some[0].unit == "byte" or event.weight == 1 else f"{event.weight:g} * "
        name = names[0] if len(names) == 1 else f"({' + '.join(names[:3])}{' + ...' if len(names) > 3 else ''})"
        parts.append(weight + name)
    return " + ".join(parts)


def _likwid(series: Sequence[Series], apart: Apart, spoken: set[str]) -> Iterator[Testimony]:
    """What likwid's own groups work out, where their events are not known here."""
    times = {one.labels.get("thread"): one.values for one in series if one.name == RUNTIME}
    for one, dtype in _rates(series) if "flops" not in spoken else ():
        parts = [x.values * times[x.labels.get("thread")] * 1e-9 for x in one if x.labels.get("thread") in times]
        if parts:
            yield Testimony(
                "likwid's group", "flops", _total(parts), f"{one[0].name} * {RUNTIME}, summed over threads",
                "approximate", "vector", dtype, "run", "worked out by likwid and rounded where it was printed", apart,
            )  # fmt: skip
    for name, quantity in VOLUMES.items():
        volumes = [one.values for one in series if one.name == name]
        if volumes and quantity not in spoken:
            why = "memory controllers count for their whole socket; worked out by likwid and rounded"
            yield Testimony(
                "likwid's group", quantity, _total(volumes), name, "upper bound", over="run", why=why, labels=apart
            )


def _rates(series: Sequence[Series]) -> Iterator[tuple[list[Series], str]]:
    for name, dtype in RATES.items():
        found = [one for one in series if one.name == f"{name} [MFLOP/s]"]
        if found:
            yield found, dtype


def _total(parts: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    known = np.concatenate(parts)
    known = known[~np.isnan(known)]
    return np.array([float(known.sum()) if len(known) else float("nan")])


def _instructions(counters: Mapping[str, list[Series]], apart: Apart) -> Iterator[Testimony]:
    """Counters that look like FLOPs and are none: unknown, with what to collect instead."""
    for name, some in counters.items():
        why = next((why for start, why in INSTRUCTIONS.items() if name.startswith(start)), None)
        if why is not None:
            yield Testimony(
                some[0].name, "flops", np.array([float("nan")]), some[0].name, "approximate", "vector", over="run",
                why=why, labels=apart,
            )  # fmt: skip
