"""READER of exporters' text."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits, unpacked
from flopsight.readers.prometheus.exposition import Sample, nanoseconds, sample
from flopsight.readers.prometheus.fields import UNIT_OF, Exporter, blank, exporter_of, server_of
from flopsight.readers.prometheus.remarks import remarks
from flopsight.readers.reader import Head
from flopsight.readers.samples import Samples
from flopsight.readers.text import decoded, lines
from flopsight.trace import Device, Trace, Unread

TYPED: Final = re.compile(r"^# TYPE [a-zA-Z_:][\w:]* (?:gauge|counter|histogram|summary|untyped|unknown|info)\s*$")
LOOK: Final = 400
HELP: Final = (
    "save the page of dcgm-exporter, AMD device-metrics-exporter or Intel XPU Manager with curl -s HOST:PORT/metrics"
)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Scrapes of device exporters."""

    name: str = "prometheus"
    title: str = "scrapes of dcgm-exporter, AMD device-metrics-exporter and Intel XPU Manager"

    def recognises(self, head: Head) -> bool:
        """By a sample of a device or a server, or by a line that gives a metric's type."""
        for line in decoded(head.text).split("\n")[:LOOK]:
            line = line.rstrip("\r")
            if TYPED.match(line):
                return True
            found = sample(line)
            if found is not None and (server_of(found.name) or (found.labels and exporter_of(found.name))):
                return True
        return False

    def read(self, path: Path, limits: Limits) -> Trace:
        """Every sample of a device; BadFile where there is neither one nor a server's."""
        taken = Taken()
        with unpacked(path, limits) as source:
            for line in lines(source):
                taken.take(line)
            cut = source.cut
        if not len(taken.samples) and not taken.servers:
            raise BadFile(f"{path} holds no metric of an accelerator ({taken.seen()}); {HELP}.")
        series = taken.samples.series()
        return Trace(
            source=str(path), format="prometheus", devices=tuple(taken.devices.values()), series=series,
            timeline=False, notes=remarks(series), unread=tuple(chain(taken.unread(), _cut(cut))),
            marks={"exporters": tuple(taken.exporters)},
        )  # fmt: skip


@dataclass(slots=True)
class Taken:
    """What was met so far."""

    samples: Samples = field(default_factory=Samples)
    devices: dict[tuple[str, ...], Device] = field(default_factory=dict)
    exporters: dict[str, None] = field(default_factory=dict)
    servers: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    seconds: bool = False

    def take(self, line: str) -> None:
        """One line."""
        if not line.strip() or line.startswith("#"):
            return
        found = sample(line)
        if found is None:
            self.broken.append(line[:80])
            return
        exporter, server = exporter_of(found.name), server_of(found.name)
        if exporter is not None:
            self._keep(found, exporter)
        elif server is not None:
            self.servers[server] += 1
        else:
            self.others[found.name.split("_")[0]] += 1

    def _keep(self, found: Sample, exporter: Exporter) -> None:
        factor, unit = UNIT_OF.get(found.name, (1.0, ""))
        why = blank(found.name, found.text, found.value)
        value = math.nan if why else found.value * factor
        self.exporters[exporter.name] = None
        self._meet(found, exporter)
        self.samples.add(found.name, value, unit, found.labels, nanoseconds(found.stamp, seconds=False), why)

    def _meet(self, found: Sample, exporter: Exporter) -> None:
        """Remember the device of a sample."""
        labels = {name.lower(): value for name, value in found.labels.items()}
        key = (exporter.vendor, *(labels.get(name, "") for name in exporter.identity))
        if key in self.devices or not any(key[1:]):
            return
        self.devices[key] = Device(
            _number(labels, len(self.devices)), _first(labels, exporter.called), exporter.vendor,
            properties=_properties(labels, exporter),
        )  # fmt: skip

    def unread(self) -> Iterator[Unread]:
        """What is on the page and not in the trace."""
        for who, count in self.servers.items():
            yield Unread(f"server metrics of {who}", count, "metrics of servers are not read yet")
        if self.others:
            names = ", ".join(name for name, _ in self.others.most_common(4))
            yield Unread("metrics of other programs", self.others.total(), f"they are not of a device ({names})")
        if self.broken:
            yield Unread("lines that are no samples", len(self.broken), f"such as {self.broken[0]!r}")

    def seen(self) -> str:
        """What else was on the page, in a few words."""
        names = ", ".join(name for name, _ in self.others.most_common(4))
        return f"{self.others.total()} of other programs: {names}" if names else "no sample at all"


def _number(labels: dict[str, str], otherwise: int) -> int:
    given = _first(labels, ("gpu", "gpu_id"))
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else otherwise


def _first(labels: dict[str, str], names: Sequence[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _properties(labels: dict[str, str], exporter: Exporter) -> dict[str, float | str]:
    """The device's identifier, and the slice of it that is meant."""
    uuid, part = _first(labels, ("uuid", "gpu_uuid")), _first(labels, exporter.slices)
    parts = {name: labels[name] for name in exporter.slices if labels.get(name)}
    return {**({"uuid": uuid} if uuid else {}), **({"slice": part} if part else {}), **parts}


def _cut(cut: str) -> Iterator[Unread]:
    if cut:
        yield Unread("the end of the file", 1, cut)


READER: Final = Prometheus()
