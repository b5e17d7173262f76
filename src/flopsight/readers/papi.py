"""READER of what PAPI's high-level interface writes (papi_hl_output/rank_*.json).

    {"papi_version", "cpu_info", "max_cpu_rate_mhz", ..., "event_definitions": {event: {"component", "type"}},
     "threads": {thread: {"regions": {number: {"name", "parent_region_id", "cycles", "real_time_nsec", event: ...}}}}}

A value is a text, or {"region_value", "read_1", ...} where the program read it within. Older versions write threads as
a list with "id", and regions as lists of {name: {...}}. Values of a region include those of the regions inside of it.
Format: PAPI src/high-level/papi_hl.c.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits, whole
from flopsight.readers.reader import Head
from flopsight.readers.samples import Samples, number
from flopsight.trace import Device, Trace, Unread

MOST: Final = 256 << 20
KEYS: Final = re.compile(rb'^\s*\{\s*"papi_version"\s*:')
OLD: Final = re.compile(rb'"(?:region_count|real_time_nsec|parent_region_id)"\s*:')
ABOUT: Final = ("papi_version", "cpu_info", "max_cpu_rate_mhz", "min_cpu_rate_mhz")
NOT_EVENTS: Final = frozenset(("name", "parent_region_id", "region_count"))
TOP: Final = "-1"


@dataclass(frozen=True, slots=True)
class Papi:
    """Counters by region of a program."""

    name: str = "papi"
    title: str = "PAPI high-level output (JSON)"

    def recognises(self, head: Head) -> bool:
        """By its first key, or by the keys of a region in files of older versions."""
        return bool(KEYS.match(head.text)) or (
            b'"threads"' in head.text and head.text.lstrip()[:1] == b"{" and bool(OLD.search(head.text))
        )

    def read(self, path: Path, limits: Limits) -> Trace:
        """Every region of every thread; BadFile where there is none."""
        try:
            read = msgspec.json.decode(whole(path, limits, MOST))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadFile(
                f"{path} is no whole JSON ({error}); let the program end so that PAPI can write it."
            ) from error
        taken = Taken()
        for thread, regions in _threads(read):
            taken.take(thread, regions)
        if not len(taken.samples):
            raise BadFile(f"{path} holds no region of PAPI's high-level interface; regions stand between "
                          "PAPI_hl_region_begin and PAPI_hl_region_end.")  # fmt: skip
        return _trace(path, read, taken)


@dataclass(slots=True)
class Taken:
    """Values met so far."""

    samples: Samples = field(default_factory=Samples)
    reads: int = 0
    odd: int = 0

    def take(self, thread: str, regions: Any) -> None:
        """One thread's regions."""
        for number_, region in _regions(regions):
            where = {
                "thread": thread, "region": str(region.get("name", number_)), "number": number_,
                "parent": str(region.get("parent_region_id", TOP)),
            }  # fmt: skip
            for event, said in region.items():
                if event not in NOT_EVENTS:
                    self._keep(event, said, where)

    def _keep(self, event: str, said: Any, where: Mapping[str, str]) -> None:
        if isinstance(said, dict):
            self.reads += len(said) - 1
            said = said.get("region_value")
        value = number(str(said)) if isinstance(said, (str, int, float)) else None
        if value is None:
            self.odd += 1
        unit = {"real_time_nsec": "ns", "cycles": "cycle"}.get(event, "")
        why = "" if value is not None else f"PAPI says {str(said)[:40]!r}"
        self.samples.add(event, math.nan if value is None else value, unit, where, why=why)


def _threads(read: Any) -> Iterator[tuple[str, Any]]:
    threads = read.get("threads") if isinstance(read, dict) else None
    if isinstance(threads, dict):
        yield from ((str(name), one.get("regions")) for name, one in threads.items() if isinstance(one, dict))
    elif isinstance(threads, list):
        yield from ((str(one.get("id", at)), one.get("regions")) for at, one in enumerate(threads)
                    if isinstance(one, dict))  # fmt: skip


def _regions(regions: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Number and values of each region, of new files and of old ones."""
    if isinstance(regions, dict):
        yield from ((str(at), one) for at, one in regions.items() if isinstance(one, dict))
    elif isinstance(regions, list):
        for at, named in enumerate(regions):
            for name, one in islice(named.items(), 1) if isinstance(named, dict) else ():
                if isinstance(one, dict):
                    yield str(at), {"name": name, **one}


def _trace(path: Path, read: dict[str, Any], taken: Taken) -> Trace:
    about = {key: str(read[key])[:200] for key in ABOUT if isinstance(read.get(key), (str, int, float))}
    events = read.get("event_definitions")
    kinds = {
        event: str(one.get("type", "")) for event, one in (events.items() if isinstance(events, dict) else ())
        if isinstance(one, dict)
    }  # fmt: skip
    unread = []
    if taken.reads:
        unread.append(Unread("values read inside of regions", taken.reads, "only the whole region's value is used"))
    if taken.odd:
        unread.append(Unread("values that are no numbers", taken.odd, "they stand as unknown"))
    return Trace(
        source=str(path), format="papi", devices=(Device(0, about.get("cpu_info", ""), "cpu"),), timeline=False,
        series=taken.samples.series(), marks={**about, "types": kinds}, unread=tuple(unread),
    )  # fmt: skip


READER: Final = Papi()
