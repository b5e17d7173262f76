"""Predicted beside achieved, part by part: a model's ledger and prediction joined to what a trace did.

A product belongs to a part by its weight's shape, [n, k]; parts that share shapes form one row, and what was fused
(q, k and v in one) matches the fused shape. The core of attention is matched by what its kernels are. What is left,
norms, activations, copies, is one row on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flopsight.achieved.ops import OpTime
from flopsight.achieved.reading import Reading
from flopsight.hardware.chip import Chip
from flopsight.models.ledger import Ledger, ledger
from flopsight.models.tree import Model
from flopsight.parts.part import Part
from flopsight.plan import Formats, Plan
from flopsight.predict.device import device_of
from flopsight.predict.forward import forward
from flopsight.predict.step import Line
from flopsight.predict.tasks import Core, Dense
from flopsight.workload import Phase, Workload

REST: Final = "everything else (norms, activations, rotary, copies)"
LENGTHS: Final = re.compile(r"context_(\d+)\(sq(\d+)sk(\d+)[^)]*\)_generation_(\d+)\(sq(\d+)sk(\d+)")
BATCH: Final = re.compile(r"\[DECODE bs=(\d+)")


@dataclass(frozen=True, slots=True)
class Setting:
    """The workload that a step had, and how that was told."""

    workload: Workload
    told_by: str


@dataclass(frozen=True, slots=True)
class PartTime:
    """One part (or parts that cannot be told apart), all of its layers together, in one step.

    predicted  seconds; None where no device was named
    achieved   seconds of its kernels
    ledger, counted   required FLOPs by the model's ledger, and executed FLOPs by the recorded shapes
    """

    part: str
    predicted: float | None
    achieved: float
    ledger: int
    counted: int
    calls: int


@dataclass(frozen=True, slots=True)
class Beside:
    """All parts of a step, and what is behind the comparison."""

    setting: Setting
    parts: tuple[PartTime, ...]
    steps: int
    ledger_flops: int
    notes: tuple[str, ...]


def beside(reading: Reading, model: Model, chip: Chip | None) -> Beside | str:
    """Join a reading to a model; a sentence where that cannot be done."""
    book = ledger(model)
    shapes = _shapes(book)
    setting = setting_of(reading, shapes)
    if isinstance(setting, str):
        return setting
    steps = max(1, sum(w.marked for w in reading.windows))
    lines = _lines(book, chip, setting.workload)
    rows = _joined(reading, lines, shapes, setting.workload, chip is not None)
    cost = book.total(setting.workload)
    train = setting.workload.phase == "train"
    whole = int(cost.required) * (3 if train else 1)
    parts = tuple(
        PartTime(p.part, p.predicted, p.achieved / steps, p.ledger, p.counted // steps, p.calls // steps) for p in rows
    )
    return Beside(setting, parts, steps, whole, _notes(reading, chip))


def _notes(reading: Reading, chip: Chip | None) -> tuple[str, ...]:
    notes = []
    if chip is None:
        notes.append("No chip is known for this device, so nothing is predicted; name one with --on.")
    if any(one.op.startswith("nccl") or one.kind == "communication" for one in reading.ops):
        notes.append("The prediction is that of one device that holds the whole model.")
    return tuple(notes)


Shapes = dict[str, set[tuple[int, int]]]


def _shapes(book: Ledger) -> Shapes:
    """[n, k] of every matrix of each leaf, by its path."""
    found: Shapes = {}
    for leaf in book.leaves:
        found.setdefault(leaf.path, set()).update(_matrices(leaf.part))
    return found


def _matrices(part: Part) -> set[tuple[int, int]]:
    return {(int(t.shape[0]), int(t.shape[1])) for t in part.tensors() if len(t.shape) == 2}


def setting_of(reading: Reading, shapes: Shapes) -> Setting | str:
    """The workload of a step: from attention's shapes, from a server's step name, or from the rows of products."""
    known = {pair for pairs in shapes.values() for pair in pairs}
    train = any("backward" in one.op.lower() for one in reading.ops)
    core = next((one for one in reading.ops if one.kind == "attention" and "backward" not in one.op), None)
    if core is not None and (dims := _attention(core)) is not None:
        batch, queries, keys = dims
        phase: Phase = "train" if train else "decode" if queries < keys else "prefill"
        return Setting(Workload(phase, batch, queries, keys - queries), f"the shapes of {core.op}")
    for text in (*(w.name for w in reading.windows), *reading.marks_of_steps):
        if (found := _served(text)) is not None:
            return found
    tokens = _rows(reading.ops, known)
    if tokens is None:
        return (
            "No product of the trace has the shape of one of this model's matrices: it is of another model, or sharded."
        )
    return Setting(
        Workload("train" if train else "prefill", 1, tokens, 0), "the rows of matrix products, as one sequence"
    )


def _attention(core: OpTime) -> tuple[int, int, int] | None:
    """Batch, queries and keys of a dense attention."""
    dims = [d for d in core.signature.dims[:2] if isinstance(d, tuple) and len(d) == 4]
    if len(dims) < 2 or not all(isinstance(n, int) and n > 0 for d in dims for n in d):
        return None
    at = 1 if "_flash_attention_forward" in core.op or "flash_attn" in core.op else 2
    queries, keys = dims[0][at], dims[1][at]
    return (dims[0][0], queries, keys) if keys >= queries else None


def _served(text: str) -> Setting | None:
    match = LENGTHS.search(text)
    if match is None:
        return None
    prompts, queries, keys, decoding, _, cached = map(int, match.groups())
    if decoding and not prompts:
        past = max(0, round(cached / decoding) - 1)
        return Setting(
            Workload("decode", decoding, 1, past), f"the server's step, {cached:,} keys of {decoding} requests"
        )
    if prompts and not decoding:
        each = max(1, round(queries / prompts))
        return Setting(Workload("prefill", prompts, each, max(0, round(keys / prompts) - each)), "the server's step")
    return None


def _rows(ops: Sequence[OpTime], known: set[tuple[int, int]]) -> int | None:
    """Rows of the products with known weights that cost the most."""
    votes: dict[int, int] = {}
    for one in ops:
        if one.product is not None and (one.product[2], one.product[3]) in known:
            votes[one.product[1]] = votes.get(one.product[1], 0) + one.flops.executed
    return max(votes, key=lambda m: votes[m]) if votes else None


def _lines(book: Ledger, chip: Chip | None, workload: Workload) -> list[Line]:
    """The prediction's tasks; with some chip even where none is known, for their shapes."""
    from flopsight.hardware.catalog import find

    device = device_of(chip or find("h100-sxm"))
    return forward(book, device, Plan(), Formats()).lines(workload)


@dataclass
class _Row:
    """A part: the shape of its product, and those of the matrices in it where it is several in one."""

    part: str
    fused: set[tuple[int, int]]
    single: set[tuple[int, int]]
    predicted: float
    ledger: int
    achieved: float = 0.0
    counted: int = 0
    calls: int = 0

    def add(self, op: OpTime) -> None:
        self.achieved += op.duration / 1e9
        self.counted += op.flops.executed
        self.calls += op.calls


def _joined(
    reading: Reading, lines: Sequence[Line], shapes: Shapes, workload: Workload, known: bool
) -> list[PartTime]:  # fmt: skip
    train = workload.phase == "train"
    times = 3 if train else 1
    dense = [_row(line, shapes, times) for line in lines if isinstance(line.task.kernel, Dense)]
    rows = _grouped(dense, reading.ops, train)
    core = _core(lines, times)
    spent = 0
    for op in reading.ops:
        row = next((r for r in rows if _is_of(op, r.fused | r.single, train)), None)
        row = core if row is None and _is_core(op) else row
        if row is not None:
            row.add(op)
            spent += op.duration
    if core is not None and not core.achieved:
        seen = sum(n.duration for n in reading.names if n.kind == "attention")
        core.achieved, spent = seen / 1e9, spent + seen
    computing = sum(n.duration for n in reading.names if n.kind != "communication")
    rest = sum(line.seconds for line in lines if not isinstance(line.task.kernel, (Dense, Core))) * times
    rows += [core] if core is not None else []
    found = [PartTime(r.part, r.predicted if known else None, r.achieved, r.ledger, r.counted, r.calls) for r in rows]
    return [*found, PartTime(REST, rest if known else None, max(0, computing - spent) / 1e9, 0, 0, 0)]


def _row(line: Line, shapes: Shapes, times: int) -> _Row:
    kernel = line.task.kernel
    assert isinstance(kernel, Dense)
    base, _, names = line.task.path.rpartition(".")
    paths = [f"{base}.{name}" if base else name for name in names.split("+")]
    single = {pair for path in paths for pair in shapes.get(path, ())}
    return _Row(line.task.path, {(kernel.n, kernel.k)}, single, line.seconds * times, int(line.amounts.flops) * times)


def _grouped(rows: Sequence[_Row], ops: Sequence[OpTime], train: bool) -> list[_Row]:
    """Rows that this trace cannot tell apart become one; where a part ran fused, its matrices did not run alone."""
    found: list[_Row] = []
    for row in rows:
        if any(_is_of(op, row.fused, train) for op in ops):
            row.single = set()
        same = [one for one in found if (one.fused | one.single) & (row.fused | row.single)]
        for one in same:
            found.remove(one)
            row = _Row(
                f"{one.part}, {row.part}", one.fused | row.fused, one.single | row.single,
                one.predicted + row.predicted, one.ledger + row.ledger,
            )  # fmt: skip
        found.append(row)
    return found


def _core(lines: Sequence[Line], times: int) -> _Row | None:
    cores = [line for line in lines if isinstance(line.task.kernel, Core)]
    if not cores:
        return None
    label = ", ".join(dict.fromkeys(line.task.path for line in cores))
    flops = int(sum(float(line.amounts.flops) for line in cores))
    return _Row(label, set(), set(), sum(line.seconds for line in cores) * times, flops * times)


def _is_of(op: OpTime, pairs: set[tuple[int, int]], train: bool) -> bool:
    """Whether an op is a product with one of these weights: forward, or one of the two backward ones in training."""
    if op.product is None or op.kind != "gemm" or op.product[0] != 1:
        return False
    _, m, n, k = op.product
    if (n, k) in pairs:
        return True
    return train and ((k, n) in pairs or (m, n) in pairs or (n, m) in pairs)


def _is_core(op: OpTime) -> bool:
    return op.kind == "attention" or (op.product is not None and op.kind == "gemm" and op.product[0] > 1)
