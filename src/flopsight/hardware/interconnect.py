"""Links between chips, to the host and between machines: 59 of them, one way, with measured fractions and latencies."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from flopsight.errors import UnknownHardware
from flopsight.facts import Fact, Kind, Unknown
from flopsight.hardware.chip import Known, scaled
from flopsight.hardware.compiled import lines
from flopsight.hardware.record import LinkMeasured, LinkRecord


@dataclass(frozen=True, slots=True)
class Link:
    """One interconnect. `scope` says what the bandwidth is per (GPU, port, slot, instance): mind it when comparing."""

    record: LinkRecord

    @property
    def id(self) -> str:
        """The stable slug, such as nvlink4."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name for people."""
        return self.record.name

    @property
    def one_way(self) -> Known:
        """B/s in one direction."""
        return self._fact(self.record.one_way, "one_way")

    @property
    def both_ways(self) -> Known:
        """Twice `one_way`, as NVIDIA and AMD print it."""
        return scaled(self.one_way, 2, "both directions together")

    @property
    def per_link(self) -> Known:
        """B/s in one direction of one of the `links` links."""
        return self._fact(self.record.per_link, "per_link")

    @property
    def latency(self) -> Known:
        """Seconds, the least; the note says of what, and up to how much."""
        latency = self.record.latency
        if latency is None:
            return Unknown(f"no latency of {self.name} is known")
        source = latency.sources[0] if latency.sources else None
        kind: Kind = "recalled" if latency.recalled or source is None else "stated"
        high = f"up to {latency.high} s; " if latency.high is not None else ""
        return Fact(
            latency.value, "s", kind, source.ref if source else "", source.date if source else "", high + latency.what
        )

    @property
    def measured(self) -> tuple[LinkMeasured, ...]:
        """Published measurements, each with its source."""
        return self.record.measured

    def _fact(self, value: float | None, field: str) -> Known:
        record = self.record
        if value is None:
            return Unknown(f"{field} of {self.name} is not known")
        if field in record.recalled or not record.sources:
            return Fact(value, "B/s", "recalled", note=record.scope)
        kind: Kind = "announced" if record.status == "announced" else "stated"
        return Fact(value, "B/s", kind, record.sources[0].ref, record.sources[0].date, record.scope)

    def as_dict(self) -> dict[str, Any]:
        """Everything known, as plain data for JSON."""
        record: dict[str, Any] = msgspec.to_builtins(self.record)
        return record


@cache
def links() -> tuple[Link, ...]:
    """Every link of the catalogue, in the order of their ids."""
    return tuple(Link(record) for record in lines("links", LinkRecord))


def find_link(name: str) -> Link:
    """The link of this id or name, upper or lower case; UnknownHardware with the nearest names otherwise."""
    key = name.strip().casefold()
    for link in links():
        if key in (link.id.casefold(), link.name.casefold()):
            return link
    near = difflib.get_close_matches(key, [link.id for link in links()], n=5)
    hint = f"Did you mean {', '.join(near)}?" if near else "`flopsight hardware list --links` shows them all."
    raise UnknownHardware(f"Expected a link of the catalogue and read {name[:80]!r}. {hint}")
