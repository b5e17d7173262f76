"""FLOPs and bytes of ops by their recorded shapes, and the kernels that did them.

An op that stands inside another is the one that counts: of aten::linear -> aten::addmm the inner. A kernel's work is
that of the innermost op around its launch which has a cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flopsight.achieved.attribution import Attribution, climb
from flopsight.opcost import OpCost, cost
from flopsight.trace import Trace
from flopsight.trace.columns import OP, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Which ops count, and what each costs.

    kinds    every different (op, shapes) that has a cost
    names    name of the op of each kind
    kind     by host row: index into `kinds` of an op that counts; -1 elsewhere
    unknown  {op: calls} innermost ops that launched kernels and have no cost
    """

    kinds: tuple[OpCost, ...]
    names: tuple[str, ...]
    signatures: tuple[int, ...]
    kind: Ints

    def amounts(self, column: str) -> npt.NDArray[np.float64]:
        """By kind: "required", "full_square", "executed" FLOPs, "elementwise", "reads" or "writes" (-1 unknown)."""
        if column in ("required", "full_square", "executed"):
            return np.array([getattr(one.flops, column) for one in self.kinds], np.float64)
        return np.array([getattr(one, column) for one in self.kinds], np.float64)


def work_of(trace: Trace, found: Attribution) -> Work:
    """Cost of every op of a trace, each different call looked up once."""
    host = trace.host
    ops = np.flatnonzero((host.kind == OP) & (host.signature >= 0))
    kind = np.full(len(host), -1, np.int32)
    if not len(ops):
        return Work((), (), (), kind)
    pairs = host.name[ops].astype(np.int64) * (len(trace.signatures) + 1) + host.signature[ops]
    distinct, place = np.unique(pairs, return_inverse=True)
    costs: list[OpCost] = []
    names: list[str] = []
    shapes: list[int] = []
    number = np.full(len(distinct), -1, np.int32)
    for i, pair in enumerate(distinct.tolist()):
        name, signature = divmod(pair, len(trace.signatures) + 1)
        one = cost(trace.names[name], trace.signatures[signature])
        if one is not None:
            number[i] = len(costs)
            costs.append(one)
            names.append(trace.names[name])
            shapes.append(signature)
    kind[ops] = number[place]
    _innermost(found.parent, kind, costs)
    return Work(tuple(costs), tuple(names), tuple(shapes), kind)


def _innermost(parent: Ints, kind: Ints, costs: list[OpCost]) -> None:
    """Take the cost from ops that hold a matrix product of another op: it is that op's."""
    products = np.array([bool(c.flops.executed) for c in costs] + [False], bool)
    kind[above(parent, products[kind])] = -1


def above(parent: Ints, marked: Ints) -> Ints:
    """Rows that have a marked row somewhere inside."""
    found = np.zeros(len(parent), bool)
    rows = np.unique(parent[marked]).astype(np.int64)
    rows = rows[rows >= 0]
    while len(rows):
        found[rows] = True
        rows = np.unique(parent[rows]).astype(np.int64)
        rows = rows[rows >= 0]
        rows = rows[~found[rows]]
    return found


def owners(trace: Trace, found: Attribution, work: Work) -> Ints:
    """By kernel: the host row of the op whose work it did; -1 where that op has no cost."""
    if not len(trace.host):
        return np.full(len(trace.kernels), -1, np.int64)
    works = np.array([c.kind != "shape" for c in work.kinds] + [False], bool)
    return climb(found.parent, found.op, (work.kind >= 0) & works[work.kind])
