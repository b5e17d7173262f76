"""What the other ranks did, without a collective: every rank leaves its sums in the process group's key-value store.

Nothing waits: a rank that has not written is missing from the sum, and the sum says so.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Final

import msgspec

_BOARDS: Final = count()


@dataclass(frozen=True, slots=True)
class Share:
    """One rank's part: FLOPs of its ordinary steps, seconds of these, and its device's peak (0 if not known)."""

    steps: int
    required: int
    executed: int
    seconds: float
    peak: float


@dataclass(frozen=True, slots=True)
class World:
    """All ranks that have written.

    size     ranks in all
    shares   of those that have written
    """

    size: int
    shares: tuple[Share, ...]

    @property
    def missing(self) -> int:
        """Ranks that have not written."""
        return self.size - len(self.shares)

    def utilization(self, executed: bool = False) -> float | None:
        """FLOP/s of all that have written over the sum of their peaks; None where a peak is not known."""
        if not self.shares or any(s.peak <= 0 or s.seconds <= 0 for s in self.shares):
            return None
        rates = ((s.executed if executed else s.required) / s.seconds for s in self.shares)
        return sum(rates) / sum(s.peak for s in self.shares)

    @property
    def required(self) -> float:
        """FLOPs a step requires on all ranks that have written."""
        return sum(s.required / s.steps for s in self.shares if s.steps)


class Board:
    """Where ranks leave their shares; for a single process it is only its own."""

    def __init__(self) -> None:
        self._name = f"flopsight/{next(_BOARDS)}"  # ranks make their meters in one order
        self._store: Any = None
        self._last: World | None = None

    @property
    def alone(self) -> bool:
        """Whether this process is the only one."""
        dist = sys.modules.get("torch.distributed")
        return dist is None or not dist.is_available() or not dist.is_initialized()

    def exchange(self, own: Share) -> World:
        """Leave ours, and read what is there."""
        if self.alone:
            return self._last or World(1, (own,))
        dist = sys.modules["torch.distributed"]
        if self._store is None:
            self._store = dist.PrefixStore(self._name, dist.distributed_c10d._get_default_store())
        rank, size = dist.get_rank(), dist.get_world_size()
        self._store.set(str(rank), msgspec.json.encode(asdict(own)))
        shares = [own if other == rank else self._read(other) for other in range(size)]
        self._last = World(size, tuple(s for s in shares if s is not None))
        return self._last

    def _read(self, rank: int) -> Share | None:
        if not self._store.check([str(rank)]):
            return None
        return msgspec.json.decode(self._store.get(str(rank)), type=Share)
