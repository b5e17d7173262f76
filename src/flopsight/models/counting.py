"""The rows of a count: leaves gathered into a tree, with formulas where asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from flopsight.cost import Cost, Op
from flopsight.expr import symbol, text
from flopsight.models.ledger import Ledger, Row
from flopsight.models.tree import Leaf
from flopsight.parts.part import Part
from flopsight.workload import Work, Workload

SOFTMAX = ("scores", "mix", "position scores", "index scores", "traced")
"""Names that cores of softmax attention give their ops; a recurrence has others."""


@dataclass(slots=True)
class Branch:
    """One path of the tree with everything below it added up."""

    path: str
    depth: int
    row: Row | None = None
    params: int = 0
    cost: Cost = Cost()  # noqa: RUF009 - frozen
    times: int = 0
    names: tuple[str, ...] = ()


def branches(rows: tuple[Row, ...]) -> list[Branch]:
    """Every path in the order of the model, the root first; a leaf is a branch with a row."""
    found: dict[tuple[str, ...], Branch] = {}
    for row in rows:
        steps = tuple(row.leaf.path.split("."))
        for end in range(len(steps) + 1):
            one = found.setdefault(steps[:end], Branch(".".join(steps[:end]), end, names=steps[:end]))
            one.params += row.params
            one.cost = one.cost + row.cost
            # a branch has a number of executions only where all its leaves share it
            one.times = row.leaf.times if one.times in (0, row.leaf.times) else -1
        found[steps].row = row
    return _in_order(found)


def _in_order(found: dict[tuple[str, ...], Branch]) -> list[Branch]:
    children: dict[tuple[str, ...], list[Branch]] = {}
    for steps, one in found.items():
        if steps:
            children.setdefault(steps[:-1], []).append(one)

    def visit(one: Branch, depth: int) -> Iterator[Branch]:
        below = children.get(one.names, [])
        # a list whose layers are all alike is one line, `layers.*`
        only = len(below) == 1 and below[0].names[-1] == "*"
        if not only:
            one.depth = depth
            yield one
        for child in below:
            yield from visit(child, depth + (not only))

    return list(visit(found[()], 0)) if found else []


def split(ledger: Ledger, rows: tuple[Row, ...], workload: Workload) -> tuple[Cost, Cost, Cost]:
    """The cost in weights, in attention cores, and in recurrent state."""
    weights, attention, recurrence = Cost(), Cost(), Cost()
    works = ledger.works(workload)
    for row in rows:
        ops = tuple(row.leaf.part.ops(works[row.leaf.stream]))
        if any(op.core and op.name in SOFTMAX for op in ops):
            attention = attention + row.cost
        elif row.leaf.part.cache().fixed and not any(len(t.shape) > 1 for t in row.leaf.part.tensors()):
            recurrence = recurrence + row.cost
        elif any(op.core for op in ops):
            attention = attention + row.cost
        else:
            weights = weights + row.cost
    return weights, attention, recurrence


def formulas(leaf: Leaf, work: Work) -> list[str]:
    """Each matrix op of a leaf with letters, then with numbers put in: `matmul 2·B·S·m·n = 2·1·2,048·…`."""
    lettered = _lettered(leaf.part)
    symbols = Work(symbol("B"), symbol("S"), symbol("P"), symbol("K"), work.absorbed)
    values = {letter: f"{getattr(leaf.part, name):,}" for name, letter in _whole_fields(leaf.part)}
    values |= {"B": f"{work.sequences:,}", "S": f"{work.queries:,}", "P": f"{work.past:,}", "K": f"{work.keys:,}"}
    found = []
    for op, counted in zip(_ops(lettered, symbols), leaf.part.ops(work), strict=True):
        if counted.required:
            shown, numbers = text(op.required), text(op.required, values)
            found.append(f"{op.name} ({op.engine}): {shown} = {numbers} = {counted.required:,}")
    return found


def _whole_fields(part: Part) -> list[tuple[str, str]]:
    return [(name, letter) for name, letter in part.letters.items() if _shown(getattr(part, name))]


def _shown(value: object) -> bool:
    """A one says nothing in a product."""
    return type(value) is int and value != 1


def _lettered(part: Part) -> Part:
    # every part is a dataclass; the protocol has no word for that
    return replace(part, **{name: symbol(letter) for name, letter in _whole_fields(part)})  # type: ignore[type-var]


def _ops(part: Part, work: Work) -> list[Op]:
    return list(part.ops(work))
