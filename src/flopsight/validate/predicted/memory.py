"""Rows that ran must be predicted to run: every published run of inference against the memory of its devices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from flopsight.errors import FlopsightError
from flopsight.facts import Unknown
from flopsight.predict.engines.engine import Engine
from flopsight.predict.memory import GIB, Memory, memory
from flopsight.validate.predicted import generation, serving
from flopsight.validate.rows import Row

PIECE: Final = 2048
"""Prompt tokens of a step where a row does not print them."""


@dataclass(frozen=True, slots=True)
class Held:
    """A row that ran and what its devices hold by our account.

    found  None where nothing could be computed, then `why` says why
    """

    row: Row
    found: Memory | None
    why: str = ""

    @property
    def wrong(self) -> bool:
        """Whether we say that what ran cannot run."""
        return self.found is not None and self.found.capacity > 0 and not self.found.starts

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.row.id}: {self.why}"
        m = self.found
        return (
            f"{self.row.id}: weights {m.weights / GIB:.1f}, activations {m.activations / GIB:.1f}, "
            f"room {m.room / GIB:.1f} of {m.capacity / GIB:.1f} GiB, {m.largest_batch} of {m.sequences} sequences"
        )


def held(rows: Iterable[Row]) -> tuple[Held, ...]:
    """Every row of inference with the memory of its busiest pool."""
    return tuple(_held(row) for row in rows if row.kind in ("serving", "prefill", "decode"))


def exceptions(rows: Iterable[Row]) -> tuple[str, ...]:
    """A sentence for each row that ran and that we say cannot; none is the aim."""
    return tuple(str(one) for one in held(rows) if one.wrong)


def _contradiction(row: Row) -> str:
    """What a row says of its devices that cannot be: experts over more devices than it has."""
    ways = [value for name in ("moe_tp", "moe_ep") if isinstance(value := row.parallelism.get(name), int) and value > 1]
    count = row.number(row.hardware, "count")
    if count and math.prod(ways) > count:
        return f"the row shares experts among {math.prod(ways)} devices and counts {count:g}"
    return ""


def _held(row: Row) -> Held:
    if why := _contradiction(row):
        return Held(row, None, why)
    try:
        found = generation.case_of(row)
        if found is None:
            return _served(row)
        if isinstance(found, Unknown):
            return Held(row, None, found.why)
        return Held(row, _static(found))
    except FlopsightError as error:
        return Held(row, None, str(error))


def _static(c: generation.Case) -> Memory:
    """A batch of its own; the prompts behind a decode row came in steps whose size is not printed."""
    engine = replace(c.engine, chunk=min(c.engine.chunk, max(PIECE, c.batch))) if c.what == "decode" else c.engine
    return _memory(c, engine, c.batch * c.plan.dp, c.isl, c.osl)


def _served(row: Row) -> Held:
    found = serving.case_of(row)
    if isinstance(found, Unknown):
        return Held(row, None, found.why)
    asked = found.requests
    most = max(1, round(asked.concurrency))
    return Held(row, _memory(found, found.engine, most, max(1, round(asked.isl)), max(1, round(asked.osl))))


def _memory(c: generation.Case | serving.Case, engine: Engine, sequences: int, isl: int, osl: int) -> Memory:
    return memory(c.book, c.device, c.plan, c.formats, engine, concurrency=sequences, isl=isl, osl=osl)
