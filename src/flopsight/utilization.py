"""MFU, HFU, MBU: what was done a second, divided by what could be, with both sides remembered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from flopsight.errors import Impossible, UsageError
from flopsight.facts import Fact, Unknown
from flopsight.hardware.chip import Node
from flopsight.models.ledger import Ledger
from flopsight.parts.moe import Experts
from flopsight.workload import Workload

ABSURD = 10_000


@dataclass(frozen=True, slots=True)
class Share:
    """One utilization.

    name     MFU, HFU or MBU
    done     achieved FLOP/s or B/s, all devices together
    could    the peak, all devices together
    counted  how the numerator was counted
    basis    which peak: data sheet, clock or measured
    note     said where the share passes 100 % of a data sheet that real clocks can pass
    """

    name: str
    done: float
    could: float
    counted: str
    basis: str
    note: str = ""

    @property
    def ratio(self) -> float:
        """done / could."""
        return self.done / self.could

    def __str__(self) -> str:
        return f"{self.name} {self.ratio:.1%} = {self.done:.4g} / {self.could:.4g} a second, counted {self.counted}"


def peak_of(node: Node, dtype: str, basis: str) -> Fact:
    """The peak of all devices; UsageError with the reason where it is not known."""
    known = node.peak(dtype, basis=basis)  # type: ignore[arg-type]
    if isinstance(known, Unknown):
        raise UsageError(f"No utilization can be given: {known.why}. Pass another --dtype or --basis, or a chip file.")
    return known


def bandwidth_of(node: Node, basis: str) -> Fact | Unknown:
    """The memory bandwidth of all devices, or why it is not known."""
    return node.memory_bandwidth("measured" if basis == "measured" else "datasheet")


def share(name: str, done: float, peak: Fact, counted: str, basis: str, *, node: Node, dtype: str = "") -> Share:
    """A utilization, refused above 100 % with the likeliest cause (Impossible), unless clocks can explain it."""
    found = Share(name, done, float(peak.value), counted, basis)
    if found.ratio <= 1:
        return found
    ceiling = _clock_ceiling(node, dtype) if basis == "datasheet" and dtype else None
    if ceiling and done <= ceiling:
        note = (
            f"Above the data sheet, which is stated below the clocks this part can run: units x rate x maximum clock "
            f"is {ceiling / 1e12:,.1f} TFLOP/s."
        )
        return Share(name, done, found.could, counted, basis, note)
    raise Impossible(
        f"{name} would be {found.ratio:.1%}: {done:.4g} a second of a peak of {found.could:.4g} "
        f"({node.label}, {dtype or 'memory'}, {basis}). {_likeliest(found.ratio, node, dtype)}"
    )


def _clock_ceiling(node: Node, dtype: str) -> float | None:
    known = node.peak(dtype, basis="clock")
    measured = node.peak(dtype, basis="measured")
    values = [float(k.value) for k in (known, measured) if isinstance(k, Fact)]
    return max(values, default=None)


def _likeliest(ratio: float, node: Node, dtype: str) -> str:
    for faster in ("fp16", "fp8", "int8", "fp4"):
        other = node.chip.peak(faster) if dtype else Unknown("")
        own = node.chip.peak(dtype) if dtype else Unknown("")
        if isinstance(other, Fact) and isinstance(own, Fact) and own.value * ratio <= other.value and faster != dtype:
            return f"Likeliest: the run computes in {faster}, which this chip does faster; pass --dtype {faster}."
    if ratio > ABSURD:
        return "Likeliest: a slip in the unit or the exponent of the tokens a second."
    devices = math.ceil(ratio * node.count)
    return (
        f"Likeliest: the tokens a second are those of at least {devices} devices, or count tokens that were not "
        "computed (padding, prefix-cache hits, drafts); check the count in --on and what the logger divides by."
    )


def step_bytes(book: Ledger, workload: Workload, weight_bytes: int, cache_bytes_per_element: Fraction) -> float:
    """Bytes one step must move at least: weights once (of experts, those expected to be visited) and the cache.

    Of E experts, T·k visits reach E·(1 - (1 - k/E)^T) on average under balanced routing; a float for that reason.
    The cache is read once a step and the new tokens are written.
    """
    tokens = int(book.tokens(workload))
    elements = book.params
    idle = sum(_unvisited(one.part, tokens) * one.times for one in book.leaves if isinstance(one.part, Experts))
    weights = weight_bytes * (1 - idle / elements) if elements else 0.0
    cost = book.total(workload)
    return weights + float(cache_bytes_per_element * (cost.cache_reads + cost.cache_writes))


def _unvisited(part: Experts, tokens: int) -> float:
    """Stored elements of the experts that nobody of `tokens` is expected to visit."""
    stored = sum(t.elements for t in part.tensors())
    return float(stored * (1 - part.visited / part.experts) ** tokens)
