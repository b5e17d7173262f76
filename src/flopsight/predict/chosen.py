"""Layouts that are taken when none is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flopsight.errors import UsageError
from flopsight.models.ledger import Ledger
from flopsight.plan import Plan
from flopsight.predict.shard import check

STAGES: Final = (2, 3, 4, 6, 8, 9, 12, 16, 24, 32, 48, 64, 96, 128)
DEEPEST: Final = 2**14
"""Devices of one copy up to which a layout is looked for."""


def legal(book: Ledger, plan: Plan) -> bool:
    """Whether heads, experts and layers can be split so."""
    try:
        check(book, plan)
    except UsageError:
        return False
    return True


def widths(book: Ledger, most: int) -> list[int]:
    """Tensor-parallel degrees up to `most` that the model's heads allow, ascending."""
    return [tp for tp in range(1, most + 1) if legal(book, Plan(tp=tp))]


def training_layouts(book: Ledger, count: int, domain: int) -> Iterator[tuple[int, int]]:
    """(tp, pp) that divide so many devices, the fewest devices a copy first, and wide before deep."""
    for size in (n for n in range(1, min(count, DEEPEST) + 1) if count % n == 0):
        for tp in range(min(size, max(1, domain)), 0, -1):
            if size % tp == 0 and legal(book, Plan(tp=tp, pp=size // tp)):
                yield tp, size // tp


def inference_plan(book: Ledger, count: int, domain: int, left: int = 1) -> Plan:
    """All devices share the matrices if the heads allow it, else the most that can; copies take the rest.

    domain  devices that fast links join: matrices are not shared beyond it
    left    devices that pipeline and context parallelism already take
    """
    free = max(1, count // max(1, left))
    tp = max(t for t in widths(book, min(free, max(1, domain))) if free % t == 0)
    return Plan(tp=tp, dp=free // tp)


def one_copy(book: Ledger, count: int, domain: int) -> Iterator[Plan]:
    """Ways to lay one copy of the model over at most `count` devices; what is left over idles."""
    for tp in widths(book, min(count, max(1, domain))):
        for pp in sorted({1, *(p for p in STAGES if p * tp <= count)}):
            if legal(book, Plan(tp=tp, pp=pp)):
                yield Plan(tp=tp, pp=pp)
