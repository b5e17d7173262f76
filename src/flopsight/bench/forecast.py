"""How long each part should take: the ledger's work over what this machine was measured to do.

    product     FLOPs / rate at as many rows           attention core   FLOPs / its rate; cache / its rate in decode
    vector op   bytes / what a vector op of that size moves  every op         + one launch
    backward    a product twice, a vector op twice     optimizer        7 values of each parameter / bandwidth

Nothing is fitted to the model that is then run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from flopsight.bench.machine import Machine
from flopsight.cost import Op
from flopsight.models.ledger import Ledger, leaf_cost
from flopsight.models.tree import Leaf
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.moe import Experts
from flopsight.parts.part import Part
from flopsight.parts.routed import RoutedLinear
from flopsight.workload import Phase, Work, Workload

WIDTHS: Final = {"fp32": 4, "bf16": 2, "fp16": 2}
ADAM: Final = 7
"""AdamW reads weight, gradient and two moments, and writes all but the gradient."""
Binds = str


@dataclass(frozen=True, slots=True)
class Bound:
    """Light-speed seconds: FLOPs over the peak, bytes over the memory's bandwidth, and starts of ops."""

    compute: float = 0.0
    memory: float = 0.0
    overhead: float = 0.0

    def __add__(self, other: Bound) -> Bound:
        return Bound(self.compute + other.compute, self.memory + other.memory, self.overhead + other.overhead)

    def __mul__(self, times: float) -> Bound:
        return Bound(self.compute * times, self.memory * times, self.overhead * times)

    @property
    def binds(self) -> Binds:
        """The largest of the three."""
        return max(("compute", "memory", "overhead"), key=lambda name: float(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class Forecast:
    """One part, all executions of a step together.

    path       the ledger's
    seconds    forecast, by pass
    products   what of it the matrix products and attention cores take
    required, full, executed   matrix FLOPs
    weights, cache, activations   bytes that must move at least once
    """

    path: str
    seconds: dict[str, float] = field(default_factory=dict)
    products: dict[str, float] = field(default_factory=dict)
    required: int = 0
    full: int = 0
    executed: int = 0
    weights: float = 0.0
    cache: float = 0.0
    activations: float = 0.0
    bound: Bound = Bound()

    @property
    def bytes(self) -> float:
        """Everything that moves."""
        return self.weights + self.cache + self.activations

    @property
    def total(self) -> float:
        """All passes."""
        return sum(self.seconds.values())

    def __add__(self, other: Forecast) -> Forecast:
        return replace(
            self, seconds=_added(self.seconds, other.seconds), products=_added(self.products, other.products),
            bound=self.bound + other.bound,
            **{name: getattr(self, name) + getattr(other, name) for name in _ADDED},
        )  # fmt: skip


def _added(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in {**first, **second}}


_ADDED: Final = ("required", "full", "executed", "weights", "cache", "activations")


def forecasts(book: Ledger, workload: Workload, machine: Machine) -> list[Forecast]:
    """A forecast for every leaf of the ledger, and in training one for the optimizer."""
    works = book.works(workload)
    found = [_leaf(one, works[one.stream], workload.phase, machine) for one in book.leaves]
    if workload.phase == "train":
        found.append(_optimizer(book.params, machine))
    return found


def _optimizer(params: int, machine: Machine) -> Forecast:
    moved = float(ADAM * params * WIDTHS[machine.dtype])
    return Forecast(
        "optimizer", {"optimizer": moved / machine.copied}, {}, activations=moved,
        bound=Bound(memory=moved / machine.bandwidth),
    )  # fmt: skip


def _leaf(one: Leaf, work: Work, phase: Phase, machine: Machine) -> Forecast:
    width, cost = WIDTHS[machine.dtype], leaf_cost(one, work, phase)
    ops = list(one.part.ops(work)) if work.tokens else []
    passes = 3 if phase == "train" else 1
    found = Forecast(
        one.path, _passes(one, ops, work, phase, machine),
        _passes(one, [op for op in ops if op.engine == "matrix"], work, phase, machine),
        int(cost.required), int(cost.full), int(cost.executed),
        passes * one.times * weight_elements(one.part, work) * width,
        float(cost.cache_reads + cost.cache_writes) * width, float(cost.reads + cost.writes) * width,
    )  # fmt: skip
    return replace(found, bound=_bound(found, passes * one.times * len(ops), machine))


def _passes(one: Leaf, ops: list[Op], work: Work, phase: Phase, machine: Machine) -> dict[str, float]:
    """Seconds of these ops, forward and in training backward."""
    times = [_op_seconds(op, one.part, work, machine) for op in ops]
    found = {"forward": one.times * sum(times)}
    if phase == "train" and ops:
        back = _gradient_table(one.part, machine) + sum(
            _back(op, time, machine) for op, time in zip(ops, times, strict=True)
        )
        found["backward"] = one.times * back
    return found


def _gradient_table(part: Part, machine: Machine) -> float:
    """The gradient of an embedding is a whole table, written though a few rows of it are not zero."""
    rows = part.rows * part.width if isinstance(part, Embedding) else 0
    return rows * WIDTHS[machine.dtype] / machine.copied


def _bound(f: Forecast, ops: int, machine: Machine) -> Bound:
    compute = f.executed / machine.peak if machine.peak else 0.0
    return Bound(compute, f.bytes / machine.bandwidth, ops * machine.launch)


def _back(op: Op, forward: float, machine: Machine) -> float:
    """A backward pass: as many products as `backward` says, and what a fused kernel rebuilds."""
    rebuilt = float(op.rebuilt) / machine.attention
    return forward * op.backward + rebuilt


def _op_seconds(op: Op, part: Part, work: Work, machine: Machine) -> float:
    width = WIDTHS[machine.dtype]
    moved = float(op.reads + op.writes + op.cache_reads + op.cache_writes) * width
    copied = moved / machine.moved(max(moved, 1.0))
    if op.engine == "vector":
        return copied + machine.launch
    if op.core:
        return _core_seconds(op, work, machine) + machine.launch
    return float(op.executed) / machine.products(_rows(part, work)) + machine.launch


def _core_seconds(op: Op, work: Work, machine: Machine) -> float:
    """Many queries are bound by products, one query by the cache that it goes through."""
    if work.queries > 1:
        return float(op.executed) / machine.attention
    return float(op.cache_reads + op.cache_writes) * WIDTHS[machine.dtype] / machine.cached


def _rows(part: Part, work: Work) -> float:
    """Rows that one matrix of a part is multiplied with."""
    tokens = float(work.tokens)
    if isinstance(part, Experts | RoutedLinear):
        return max(1.0, tokens * part.visited / max(distinct(part, work), 1.0))
    return max(1.0, tokens)


def distinct(part: Experts | RoutedLinear, work: Work) -> float:
    """Experts that someone visits under uniformly random routing: E (1 - (1 - k/E)^T)."""
    missed: float = (1.0 - part.visited / part.experts) ** float(work.tokens)
    return part.experts * (1.0 - missed)


def weight_elements(part: Part, work: Work) -> float:
    """Stored values that one execution reads: all of a matrix, the visited experts, one row a token of a table."""
    if not work.tokens:
        return 0.0
    if isinstance(part, Embedding):
        return 0.0  # the rows read are activations of the lookup
    if isinstance(part, Experts | RoutedLinear):
        return distinct(part, work) / part.experts * sum(t.elements for t in part.tensors())
    return float(sum(_matrix_elements(part)))


def _matrix_elements(part: Part) -> Iterator[int]:
    yield from (t.elements for t in part.tensors())
    if isinstance(part, Linear) and part.tied:  # executed here, stored elsewhere
        yield part.inputs * part.outputs
