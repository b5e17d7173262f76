"""Sums of work while a jaxpr is walked: of an equation, of a body, of a body that runs many times."""

from __future__ import annotations

from dataclasses import dataclass, field

from flopsight.cost import Engine
from flopsight.counted import Amount, Bytes, Counted, Flops, Row, Uncounted
from flopsight.jax import names

Key = tuple[str, str, int, str, Engine]
"""(module path, primitive, rank of the pass, number format, engine)."""


@dataclass(slots=True)
class Tally:
    """Work by key: calls, required, full square, executed, elementwise, reads, writes.

    missing   calls of what no formula covers, by (path, op, why)
    """

    rows: dict[Key, list[int]] = field(default_factory=dict)
    missing: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def add(self, key: Key, flops: Flops, elementwise: int, moved: Bytes) -> None:
        """One call."""
        row = self.rows.setdefault(key, [0] * 7)
        row[0] += 1
        row[1] += flops.required
        row[2] += flops.full_square
        row[3] += flops.executed
        row[4] += elementwise
        row[5] += moved.reads
        row[6] += moved.writes

    def miss(self, path: str, op: str, why: str) -> None:
        """One call that no formula covers."""
        self.missing[path, op, why] = self.missing.get((path, op, why), 0) + 1

    def include(self, body: Tally, path: str, rank: int, times: int) -> None:
        """A body that runs so many times at this place of the program."""
        for (inner, op, own, dtype, engine), amounts in body.rows.items():
            key = (names.joined(path, inner), op, max(rank, own), dtype, engine)
            row = self.rows.setdefault(key, [0] * 7)
            for position, amount in enumerate(amounts):
                row[position] += times * amount
        for (inner, op, why), calls in body.missing.items():
            where = (names.joined(path, inner), op, why)
            self.missing[where] = self.missing.get(where, 0) + times * calls

    @property
    def executed(self) -> tuple[int, int]:
        """(FLOPs, bytes), to tell the larger of two."""
        return sum(row[3] for row in self.rows.values()), sum(row[5] + row[6] for row in self.rows.values())

    def counted(self, notes: tuple[str, ...]) -> Counted:
        """The frozen sums; what runs again, and what the optimizer multiplies, is executed and not required."""
        merged: dict[tuple[str, str, int, str, Engine], list[int]] = {}
        for (path, op, rank, dtype, engine), amounts in self.rows.items():
            rank = names.FORWARD if rank == names.PLAIN else rank
            row = merged.setdefault((path, op, rank, dtype, engine), [0] * 7)
            for position, amount in enumerate(amounts):
                row[position] += amount
        rows = tuple(_row(key, amounts) for key, amounts in merged.items())
        missing = tuple(Uncounted(op, calls, why, path) for (path, op, why), calls in self.missing.items())
        return Counted(rows, missing, notes)


def _row(key: Key, amounts: list[int]) -> Row:
    path, op, rank, dtype, engine = key
    calls, required, full, executed, elementwise, reads, writes = amounts
    if rank in (names.RECOMPUTE, names.AFTER_GRADIENT):
        required = full = 0
    amount = Amount(calls, Flops(required, full, executed), elementwise, Bytes(reads, writes))
    return Row(path, op, names.DURING[rank], dtype, engine, amount)
