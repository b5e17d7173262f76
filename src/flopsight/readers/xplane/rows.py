"""Columns gathered from the lines of many planes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from flopsight.readers.xplane.space import Kinds, Line, Plane, Stats
from flopsight.trace import Collective, Names, Unread
from flopsight.trace.columns import Ints

MOST_LINES: Final = 10_000
"""As many threads and streams are read; each costs about a millisecond however short it is."""
Op = tuple[str, str, str]
"""An op of a compiled program: the program, the op in it, and what the framework calls it."""


class Rows:
    """What was gathered so far.

    kernels, host  columns, in pieces
    ops            ops of compiled programs, numbered; the `external` columns hold these numbers
    left           what was met and left out: (what, why) -> how often
    """

    def __init__(self) -> None:
        self.names, self.threads = Names(), Names()
        self.ops: dict[Op, int] = {}
        self.collectives: dict[Collective, int] = {}
        self.kernels: dict[str, list[Any]] = defaultdict(list)
        self.host: dict[str, list[Any]] = defaultdict(list)
        self.left: Counter[tuple[str, str]] = Counter()
        self.lines_read = 0

    def device(self, **columns: Any) -> None:
        """More rows of devices."""
        for name, values in columns.items():
            self.kernels[name].append(values)

    def thread(self, **columns: Any) -> None:
        """More rows of threads."""
        for name, values in columns.items():
            self.host[name].append(values)

    def lines(self, plane: Plane) -> Iterator[Line]:
        """The lines of a plane, as long as the file has no more than any profile has."""
        for done, line in enumerate(plane.lines()):
            if self.lines_read >= MOST_LINES:
                self.leave("lines", plane.count - done, f"more than {MOST_LINES:,}")
                return
            self.lines_read += 1
            yield line

    def leave(self, what: str, count: int, why: str) -> None:
        """Count what is not in the trace."""
        if count:
            self.left[what, why] += count

    def named(self, kinds: Kinds, which: Ints, texts: tuple[str, ...]) -> Ints:
        """Numbers of the names of events; "" where the file does not name their kind."""
        numbers = np.append(self.names.of(texts), self.names[""] if (which < 0).any() else 0)
        self.leave("names of events", int((which < 0).sum()), "the file does not hold the kind they refer to")
        return np.asarray(numbers[which])

    def numbered(self, ops: Op) -> int:
        """The number of an op; -1 for none."""
        return self.ops.setdefault(ops, len(self.ops)) if any(ops) else -1

    def op_numbers(self, stats: Stats, size: int) -> Ints:
        """By owner: the number of the op that its stats name."""
        module, op, tf_op, scope = (stats.coded(n, size) for n in ("hlo_module", "hlo_op", "tf_op", "name"))
        which = np.zeros(size, np.int64)
        for codes, texts in (module, op, tf_op, scope):
            which = np.unique(which * (len(texts) + 1) + codes + 1, return_inverse=True)[1]
        _, first = np.unique(which, return_index=True)
        found = [[(*texts, "")[codes[row]] for codes, texts in (module, op, tf_op, scope)] for row in first.tolist()]
        numbers = [self.numbered((a, b, framework(c, d)) if b else ("", "", "")) for a, b, c, d in found]
        return np.array(numbers, np.int64)[which]

    def unread(self) -> tuple[Unread, ...]:
        """What was left out."""
        return tuple(Unread(what, count, why) for (what, why), count in self.left.items())


def framework(tf_op: str, scope: str) -> str:
    """The framework's name of an op: in older files beside a stat that only says "XlaModule:"."""
    named = tf_op.removesuffix(":")
    return scope or named if named in ("", "XlaModule") else named
