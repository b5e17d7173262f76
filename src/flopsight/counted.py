"""What was counted of a running program: work by op, module and pass, and the ops that no formula covers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from flopsight.cost import Engine

During = Literal["forward", "backward", "recompute", "optimizer"]
DURING: Final[tuple[During, ...]] = ("forward", "backward", "recompute", "optimizer")
REQUIRED: Final = ("forward", "backward")
"""The passes whose work a model requires; recompute and the optimizer's own products are only executed."""


@dataclass(frozen=True, slots=True)
class Flops:
    """Matrix FLOPs, a multiply-add as two.

    required      what the model asks for: causal area, windows, real lengths, active experts; no recompute
    full_square   the same with the whole score square of every attention
    executed      what the kernels did: recompute again, scores that a fused backward rebuilds, masked squares
    """

    required: int = 0
    full_square: int = 0
    executed: int = 0

    def __add__(self, other: Flops) -> Flops:
        return Flops(
            self.required + other.required, self.full_square + other.full_square, self.executed + other.executed
        )


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes that ops read from and wrote to their tensors, each tensor once an op; caches make real traffic less."""

    reads: int = 0
    writes: int = 0

    def __add__(self, other: Bytes) -> Bytes:
        return Bytes(self.reads + other.reads, self.writes + other.writes)

    @property
    def total(self) -> int:
        """Reads and writes."""
        return self.reads + self.writes


@dataclass(frozen=True, slots=True)
class Amount:
    """Work of some calls; `elementwise` are vector FLOPs, outside `flops`."""

    calls: int = 0
    flops: Flops = Flops()
    elementwise: int = 0
    bytes: Bytes = Bytes()

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.calls + other.calls, self.flops + other.flops, self.elementwise + other.elementwise,
            self.bytes + other.bytes,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """All calls of one op, in one module, during one pass, in one number format.

    module   the path from the root, "model.layers.0.self_attn.q_proj"; "" outside of modules
    op       the framework's name of it, "aten.mm"
    dtype    our word for the format of the operands, "bf16"
    engine   "matrix" for contractions, "vector" for everything else
    """

    module: str
    op: str
    during: During
    dtype: str
    engine: Engine
    amount: Amount


@dataclass(frozen=True, slots=True)
class Uncounted:
    """An op that may do arithmetic and that no formula covers: its FLOPs are missing from every sum."""

    op: str
    calls: int
    why: str
    module: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """The work of a program that ran (or was traced).

    uncounted   what is missing from the sums
    notes       what was taken for granted ("the mask of a meta tensor has no values: the full square was taken")
    """

    rows: tuple[Row, ...] = ()
    uncounted: tuple[Uncounted, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> Amount:
        """Everything."""
        return _sum(row.amount for row in self.rows)

    @property
    def flops(self) -> Flops:
        """Matrix FLOPs of everything."""
        return self.total.flops

    @property
    def elementwise(self) -> int:
        """Vector FLOPs of everything, one an element and op."""
        return self.total.elementwise

    @property
    def bytes(self) -> Bytes:
        """Bytes of everything."""
        return self.total.bytes

    def during(self, *passes: During) -> Counted:
        """The rows of these passes only."""
        return Counted(tuple(r for r in self.rows if r.during in passes), self.uncounted, self.notes)

    def by_op(self) -> dict[str, Amount]:
        """Amounts by op, the most executed FLOPs first."""
        return self.grouped(lambda row: row.op)

    def by_module(self, depth: int | None = None) -> dict[str, Amount]:
        """Amounts by module path, cut to `depth` names; in the order in which modules ran."""
        found: dict[str, Amount] = {}
        for row in self.rows:
            path = row.module if depth is None else ".".join(row.module.split(".")[:depth])
            found[path] = found.get(path, Amount()) + row.amount
        return found

    def grouped(self, key: Callable[[Row], str]) -> dict[str, Amount]:
        """Amounts by any key of a row, the most executed FLOPs first, then the most bytes."""
        found: dict[str, Amount] = {}
        for row in self.rows:
            found[key(row)] = found.get(key(row), Amount()) + row.amount
        return dict(sorted(found.items(), key=lambda pair: (-pair[1].flops.executed, -pair[1].bytes.total)))


def _sum(amounts: Iterable[Amount]) -> Amount:
    """All of them, added column by column: there may be a thousand rows, and a loop that waits for the sum."""
    columns = [
        (a.calls, a.flops.required, a.flops.full_square, a.flops.executed, a.elementwise, a.bytes.reads, a.bytes.writes)
        for a in amounts
    ]
    if not columns:
        return Amount()
    calls, required, square, executed, elementwise, reads, writes = (
        sum(column) for column in zip(*columns, strict=True)
    )
    return Amount(calls, Flops(required, square, executed), elementwise, Bytes(reads, writes))
