"""READER of unitrace's text: the device timeline (-t) and the summaries of host and device (-h, -d)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from flopsight.errors import BadFile
from flopsight.readers.intel.summary import TITLE, Summary
from flopsight.readers.intel.timeline import LINE, Timeline
from flopsight.readers.limits import Limits, unpacked
from flopsight.readers.reader import Head
from flopsight.readers.text import decoded, lines
from flopsight.trace import Names, Trace, Unread

ANY: Final = re.compile(rf"^(?:{TITLE.pattern}|{LINE.pattern})", re.MULTILINE)
AVERAGES: Final = "The tables give sums: each call stands here with its share of its row's sum, and without a time."


@dataclass(frozen=True, slots=True)
class Unitrace:
    """Timelines and summaries of Intel GPUs."""

    name: str = "unitrace"
    title: str = "Intel unitrace text (-t, -d, -h)"

    def recognises(self, head: Head) -> bool:
        """By a command with its four times, or by the title of a summary."""
        return bool(ANY.search(decoded(head.text).replace("\r\n", "\n")))

    def read(self, path: Path, limits: Limits) -> Trace:
        """Every command, or where there is none every row of the tables; BadFile where there is neither."""
        names = Names()
        timeline, summary, others = Timeline(names), Summary(), 0
        with unpacked(path, limits) as source:
            for line in lines(source):
                others += bool(line.strip()) and not (timeline.take(line) or summary.take(line))
            cut = source.cut
        if not timeline.commands and not summary.parts:
            raise BadFile(f"{path} holds no whole command or row of unitrace; write it again with unitrace -t -o FILE.")
        trace = _timeline(str(path), timeline, summary) if timeline.commands else _tables(str(path), summary, names)
        return replace(trace, unread=(*trace.unread, *_unread(timeline, summary, others, cut)))


def _timeline(source: str, timeline: Timeline, summary: Summary) -> Trace:
    kernels, host = timeline.kernels(), timeline.host()
    repeated = (Unread("rows of summaries", len(summary.parts), "they are sums of the timeline"),)
    return Trace(
        source=source, format="unitrace", devices=timeline.found(), names=timeline.names.texts(), kernels=kernels,
        host=host, threads=tuple(f"{thread}" for thread in timeline.threads), marks=_marks(summary),
        notes=_odd(int((kernels.end < kernels.start).sum())), unread=repeated if summary.parts else (),
    )  # fmt: skip


def _tables(source: str, summary: Summary, names: Names) -> Trace:
    kernels, host = summary.kernels(names), summary.host(names)
    return Trace(
        source=source, format="unitrace", devices=summary.found(), names=names.texts(), kernels=kernels, host=host,
        threads=("",) if len(host) else (), timeline=False, marks=_marks(summary), notes=(AVERAGES,),
    )  # fmt: skip


def _marks(summary: Summary) -> dict[str, int]:
    return {} if summary.total is None else {"execution_ns": summary.total}


def _odd(count: int) -> tuple[str, ...]:
    return (f"{count} commands end before they start: their durations are unknown.",) if count else ()


def _unread(timeline: Timeline, summary: Summary, others: int, cut: str) -> Iterator[Unread]:
    if timeline.impossible + summary.refused:
        yield Unread("commands with impossible numbers", timeline.impossible + summary.refused, "too large to be times")
    if others:
        yield Unread("other lines", others, "they are no commands of unitrace")
    if cut:
        yield Unread("the end of the file", 1, cut)


READER: Final = Unitrace()
