"""Columns gathered from the lines of many planes."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from flopsight.readers.xplane.space import Kinds, Stats
from flopsight.trace import Collective, Names, Unread
from flopsight.trace.columns import Ints

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

    def device(self, **columns: Any) -> None:
        """More rows of devices."""
        for name, values in columns.items():
            self.kernels[name].append(values)

    def thread(self, **columns: Any) -> None:
        """More rows of threads."""
        for name, values in columns.items():
            self.host[name].append(values)

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
