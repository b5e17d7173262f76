"""Shapes of an execution trace given to the ops of a profiler's trace of the same run."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from flopsight.errors import UsageError
from flopsight.trace import Host, Trace, Unread
from flopsight.trace.columns import OP, Ints

FEWEST: Final = 0.5
"""At least this share of the ops that carry the same number must carry the same name."""


def joined(kineto: Trace, execution: Trace) -> Trace:
    """The first trace, with what its ops were called with, from the second one.

    An op is joined by its record function (`Host.record`), or, in older files that do not have it, by its external
    number, which in them is the same; the names must agree. Shapes that are recorded already are kept.

    Raises UsageError where the two are not a profiler's trace and an execution trace, or not of the same run.
    """
    if execution.format != "chakra" or kineto.format == "chakra":
        raise UsageError(
            f"Shapes go from an execution trace to a profiler's trace; these are {execution.format!r} "
            f"({execution.source}) and {kineto.format!r} ({kineto.source})."
        )
    host = kineto.host
    partner = _partners(host, execution.host)
    named = partner >= 0
    agree = named & _same_names(kineto, execution, partner)
    if named.any() and agree.sum() < FEWEST * named.sum():
        raise UsageError(
            f"{execution.source} is not of the run that {kineto.source} recorded: of {named.sum():,} ops with the same "
            f"number {agree.sum():,} have the same name."
        )
    given = np.where(agree, np.append(execution.host.signature, -1)[partner], -1)
    fresh = (host.signature < 0) & (given >= 0)
    signature = np.where(fresh, given + len(kineto.signatures), host.signature).astype(np.int32)
    return replace(
        kineto, host=replace(host, signature=signature), signatures=kineto.signatures + execution.signatures,
        notes=(*kineto.notes, f"Shapes of {fresh.sum():,} ops come from {execution.source}."),
        unread=(*kineto.unread, *_alone(host, named, agree)),
    )  # fmt: skip


def _partners(host: Host, other: Host) -> Ints:
    """Row of the other trace with the same record function; -1 where there is none."""
    numbers = host.record if (host.record >= 0).any() else host.external
    rows = np.flatnonzero(other.record >= 0)
    known, first = np.unique(other.record[rows], return_index=True)
    if not len(known):
        return np.full(len(host), -1)
    at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    ours = (known[at] == numbers) & (numbers >= 0) & (host.kind == OP)
    return np.where(ours, rows[first[at]], -1)


def _same_names(kineto: Trace, execution: Trace, partner: Ints) -> Ints:
    """Whether each op has its partner's name."""
    numbers = {name: number for number, name in enumerate(kineto.names)}
    theirs = np.array([*(numbers.get(name, -1) for name in execution.names), -1], np.int64)
    names = np.append(execution.host.name, -1)[partner]
    return np.asarray(theirs[names] == kineto.host.name)


def _alone(host: Host, named: Ints, agree: Ints) -> tuple[Unread, ...]:
    """Ops that stay without shapes."""
    counts = {
        "the execution trace has no op of their number": int(((host.kind == OP) & (host.signature < 0) & ~named).sum()),
        "the execution trace has another op under their number": int((named & ~agree & (host.signature < 0)).sum()),
    }
    return tuple(Unread("shapes of ops", count, why) for why, count in counts.items() if count)
