"""Ranks of one job side by side: who waits, who is late."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from flopsight.achieved.reading import Reading
from flopsight.report.trace import RankRow

LATE = 1.05


def ranks_of(readings: Sequence[Reading]) -> list[RankRow]:
    """One row a trace where there are several, by rank."""
    if len(readings) < 2:
        return []
    return sorted((_row(one) for one in readings), key=lambda r: (r.rank is None, r.rank, r.source))


def _row(reading: Reading) -> RankRow:
    times = reading.total
    window, busy = sum(t.window for t in times), sum(t.busy for t in times)
    exposed = sum(t.exposed for t in times)
    idle = sum(t.idle for t in times)
    return RankRow(
        source=reading.source, rank=reading.rank, us=window / 1e3, busy=busy / window if window else None,
        compute_us=(busy - exposed) / 1e3, comm_us=sum(t.communication for t in times) / 1e3,
        exposed_comm_us=exposed / 1e3, idle_us=idle / 1e3, flops=sum(f.executed for f in reading.flops.values()),
    )  # fmt: skip


def notes_on(ranks: Sequence[RankRow]) -> list[str]:
    """Sentences on stragglers and imbalance; none where the ranks are alike.

    A collective lasts until the last rank has joined it, so the rank that spends least time in collectives is the one
    that the others wait for.
    """
    if len(ranks) < 2 or not any(r.comm_us for r in ranks):
        return []
    least, most = min(ranks, key=lambda r: r.comm_us), max(ranks, key=lambda r: r.comm_us)
    notes = []
    if most.comm_us > LATE * least.comm_us:
        notes.append(
            f"{_name(least)} waits least in collectives ({least.comm_us:,.0f} us) and {_name(most)} longest "
            f"({most.comm_us:,.0f} us): {_name(least)} is the one that arrives late."
        )
    work = [r.flops for r in ranks if r.flops]
    if len(work) == len(ranks) and max(work) > LATE * median(work):
        notes.append(f"The ranks' matrix products differ: {max(work) / median(work):.2f} times the median at most.")
    return notes


def _name(row: RankRow) -> str:
    return f"rank {row.rank}" if row.rank is not None else row.source
