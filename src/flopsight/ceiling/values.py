"""What a measurement of ceilings gives: rates by number format, bandwidth by working set, costs of a launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from flopsight.stopwatch import Spread

Shape: TypeAlias = tuple[int, int, int]
Direction = Literal["read", "write", "copy"]


@dataclass(frozen=True, slots=True)
class Product:
    """The fastest matrix product (m x k) times (k x n) found in a number format; 2 m n k FLOPs each.

    shape   (m, n, k) of it; None where the format did not run, and `why` says the reason
    time    seconds of one product at that shape
    tried   shapes that were timed
    """

    dtype: str
    shape: Shape | None = None
    time: Spread | None = None
    tried: int = 0
    why: str = ""

    @property
    def flops(self) -> int:
        """FLOPs of one product: a multiply-add is two."""
        m, n, k = self.shape or (0, 0, 0)
        return 2 * m * n * k

    @property
    def best(self) -> float:
        """FLOP/s of the fastest sample; 0 where the format did not run."""
        return self.flops / self.time.best if self.time else 0.0

    @property
    def median(self) -> float:
        """FLOP/s of the median sample; 0 where the format did not run."""
        return self.flops / self.time.median if self.time else 0.0


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """B/s at one working set: bytes read, written, or both for a copy; write-allocate traffic is not counted.

    size   bytes of the working set, over all threads
    level  where it lies: L1, L2, L3, memory
    moved  bytes of one call
    """

    direction: Direction
    size: int
    level: str
    moved: int
    time: Spread

    @property
    def best(self) -> float:
        """B/s of the fastest sample."""
        return self.moved / self.time.best

    @property
    def median(self) -> float:
        """B/s of the median sample."""
        return self.moved / self.time.median


@dataclass(frozen=True, slots=True)
class Launch:
    """Seconds that one small op costs.

    eager   one of many calls in a row from Python: the host's time, or the device's where that is longer
    alone   one call and waiting for it
    graph   one op of a replayed graph; None where there are no graphs, and `why` says the reason
    """

    eager: Spread
    alone: Spread
    graph: Spread | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a device reached, for whoever divides by it.

    device     what torch calls it: cpu, cuda:0
    name       what its driver calls it
    peaks      FLOP/s of the fastest matrix product, by number format
    memory     B/s from or to the main memory: read, write, copy
    launch     seconds of one small op among many, from Python
    threads    that the processor used; 0 on an accelerator
    torch, date, notes   with what, when, and what to know
    """

    device: str
    name: str
    peaks: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    launch: float | None = None
    threads: int = 0
    torch: str = ""
    date: str = ""
    notes: tuple[str, ...] = ()

    @property
    def bandwidth(self) -> float | None:
        """B/s of the main memory at best, in whichever direction; None where it was not measured."""
        return max(self.memory.values(), default=None)
