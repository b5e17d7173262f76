"""The text that exporters answer with, one sample a line.

    name{label="value",...} value [timestamp] [# exemplar]

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ (timestamps in milliseconds) and OpenMetrics 1.0
(a page that ends with "# EOF"; timestamps in seconds).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from flopsight.readers.samples import MOST_TIME, WHOLE

NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,\s*(?=\})|,|(?=\}))')
BRACE: Final = re.compile(r"\s*\{")
EMPTY: Final = re.compile(r"\s*(?=\})")
REST: Final = re.compile(r"\s+(\S+)(?:\s+(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?))?\s*(?:#.*)?$")
BARE: Final = re.compile(r"\s*(\S+)(?:\s+(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?))?\s*(?:#.*)?$")
VALUE: Final = re.compile(r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|[Ii]nf(?:inity)?|[Nn]a[Nn])$")
ESCAPE: Final = re.compile(r'\\([\\n"])')
MEANT: Final = {"\\": "\\", "n": "\n", '"': '"'}
MOST_LABELS: Final = 256
LONGEST: Final = 400
"""Characters of a number."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One line.

    name    of the metric
    labels  in the order of the line
    text    its value as written
    value   its value; NaN and infinities are values here
    stamp   its timestamp as a number, in the page's unit; None where it has none
    """

    name: str
    labels: dict[str, str]
    text: str
    value: float
    stamp: float | None = None


def sample(line: str) -> Sample | None:
    """The sample on a line; None where the line is none (a comment, an empty line, or damage)."""
    named = NAME.match(line)
    if named is None:
        return None
    at = named.end()
    labels: dict[str, str] = {}
    if brace := BRACE.match(line, at):
        found = _labels(line, brace.end())
        if found is None:
            return None
        labels, at = found
        rest = BARE.match(line, at)
    else:
        rest = REST.match(line, at)
    if rest is None or not VALUE.match(rest[1]) or len(rest[1]) > LONGEST:
        return None
    stamp = None if rest[2] is None else float(rest[2])
    return Sample(named[0], labels, rest[1], float(rest[1]), stamp)


def _labels(line: str, at: int) -> tuple[dict[str, str], int] | None:
    """The labels from a place on, and the place behind their brace."""
    labels: dict[str, str] = {}
    if EMPTY.match(line, at):
        return labels, line.index("}", at) + 1
    while len(labels) < MOST_LABELS:
        found = LABEL.match(line, at)
        if found is None or found[1] in labels:
            return None
        labels[found[1]] = ESCAPE.sub(lambda mark: MEANT[mark[1]], found[2])
        at = found.end()
        if line[at : at + 1] == "}":
            return labels, at + 1
    return None


def nanoseconds(stamp: float | None, *, seconds: bool) -> int:
    """A timestamp in ns; -1 where there is none, or none that can be."""
    if stamp is None:
        return WHOLE
    scaled = stamp * (1e9 if seconds else 1e6)
    return round(scaled) if 0 <= scaled < MOST_TIME else WHOLE
