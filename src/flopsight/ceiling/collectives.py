"""Bus bandwidth of collectives by message size, in the convention of NCCL-tests.

    algorithm bandwidth = S / t
    all-reduce          S = bytes that each rank holds             bus = algorithm x 2 (n - 1) / n
    all-gather          S = bytes that each rank holds afterwards  bus = algorithm x (n - 1) / n
    reduce-scatter      S = bytes that each rank holds before      bus = algorithm x (n - 1) / n
    all-to-all          S = bytes that each rank sends             bus = algorithm x (n - 1) / n

Bus bandwidth does not depend on the number of ranks n, so it compares with a link's rate one way. The time of a call is
that of the slowest rank. Source: NVIDIA/nccl-tests, doc/PERFORMANCE.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

from flopsight.ceiling.products import FAILURES
from flopsight.ceiling.world import BACKENDS, PATIENCE, World, joined
from flopsight.stopwatch import Spread, TorchDevice

KINDS: Final = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")
Progress = Callable[[int, int], None]
_SMALLEST: Final = 2**10
_LARGEST: Final = {"cpu": 2**26}
_LARGEST_ELSEWHERE: Final = 2**30
_STEP, _QUICK_STEP = 2**2, 2**5
_MOST_CALLS: Final = 200


@dataclass(frozen=True, slots=True)
class Collective:
    """One collective at one message size S in bytes; `why` where it could not run."""

    kind: str
    size: int
    ranks: int
    time: Spread | None = None
    why: str = ""

    @property
    def bus(self) -> float:
        """Bytes a second on the bus, at the fastest sample; 0 where it did not run."""
        return self.size / self.time.best * bus_factor(self.kind, self.ranks) if self.time else 0.0

    @property
    def bus_median(self) -> float:
        """The same at the median sample."""
        return self.size / self.time.median * bus_factor(self.kind, self.ranks) if self.time else 0.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """All collectives between the ranks of a group."""

    rank: int
    ranks: int
    backend: str
    device: str
    name: str
    rows: tuple[Collective, ...]
    torch: str
    date: str
    quick: bool


def bus_factor(kind: str, ranks: int) -> float:
    """Bus over algorithm bandwidth.

    >>> bus_factor("all_reduce", 4), bus_factor("all_gather", 4)
    (1.5, 0.75)
    """
    return (2 if kind == "all_reduce" else 1) * (ranks - 1) / ranks


def sizes(kind: str, *, quick: bool) -> list[int]:
    """Message sizes in bytes, from 1 KiB upward."""
    found, step = [_SMALLEST], _QUICK_STEP if quick else _STEP
    largest = _LARGEST.get(kind, _LARGEST_ELSEWHERE) // (16 if quick else 1)
    while found[-1] * step <= largest:
        found.append(found[-1] * step)
    return found


def measure(
    device: str, world: World, *, quick: bool = False, patience: float = PATIENCE,
    progress: Progress = lambda done, total: None,
) -> Exchange:  # fmt: skip
    """Measure all collectives; every rank calls this. MissingCapability where ranks do not answer in time."""
    kind = device.partition(":")[0]
    opened = TorchDevice(device if kind == "cpu" else f"{kind}:{world.local}")
    if kind != "cpu":
        getattr(opened.torch, kind).set_device(world.local)
    asked = sizes(kind, quick=quick)
    rows: list[Collective] = []
    with joined(kind, patience) as dist:
        group = _Group(opened, dist, world.size, 0.05 if quick else 0.4)
        for name in KINDS:
            rows += group.all_sizes(name, asked)
            progress(KINDS.index(name) + 1, len(KINDS))
    return Exchange(
        world.rank, world.size, BACKENDS[kind], device, opened.name, tuple(rows), str(opened.torch.__version__),
        datetime.now(UTC).strftime("%Y-%m-%d"), quick,
    )  # fmt: skip


class _Group:
    """The ranks, and how to run collectives between them."""

    def __init__(self, device: TorchDevice, dist: Any, ranks: int, budget: float) -> None:
        self.device, self.dist, self.ranks, self.budget = device, dist, ranks, budget

    def all_sizes(self, kind: str, asked: list[int]) -> list[Collective]:
        """One collective at every size; one that the backend lacks is said once."""
        try:
            self._made(kind, self._whole(asked[0]))()
        except (NotImplementedError, AttributeError, RuntimeError) as error:
            if not _lacking(error):
                raise
            return [Collective(kind, asked[0], self.ranks, why=str(error).splitlines()[0][:160])]
        return [self._timed(kind, self._whole(size)) for size in asked]

    def _whole(self, size: int) -> int:
        """A size that falls into equal parts of whole fp32 elements."""
        part = 4 * self.ranks
        return max(part, size // part * part)

    def _timed(self, kind: str, size: int) -> Collective:
        run = self._made(kind, size)
        self._once(run)
        estimate = self._slowest([self._once(run)])[0]
        calls = max(3, min(_MOST_CALLS, int(self.budget / max(estimate, 1e-6))))
        found = self._slowest([self._once(run) for _ in range(calls)])
        return Collective(kind, size, self.ranks, Spread(min(found), median(found), max(found), len(found)))

    def _once(self, run: Callable[[], object]) -> float:
        """Seconds of one call, all ranks starting together."""
        self.dist.all_reduce(self.device.torch.zeros(1, device=self.device.device))
        self.device.synchronize()
        start = time.perf_counter()
        run()
        self.device.synchronize()
        return time.perf_counter() - start

    def _slowest(self, seconds: list[float]) -> list[float]:
        """Of each call, the time of the slowest rank."""
        kept = self.device.torch.tensor(seconds, device=self.device.device)
        self.dist.all_reduce(kept, op=self.dist.ReduceOp.MAX)
        return [float(each) for each in kept.tolist()]

    def _made(self, kind: str, size: int) -> Callable[[], object]:
        """A call of the collective; newer torch has other names for two of them and warns of the old ones."""
        whole, part = self._filled(size // 4), self._filled(size // 4 // self.ranks)
        dist = self.dist
        if kind == "all_reduce":
            return lambda: dist.all_reduce(whole)
        if kind == "all_gather":
            gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
            return lambda: gather(whole, part)
        if kind == "reduce_scatter":
            scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
            return lambda: scatter(part, whole)
        other = self._filled(size // 4)
        return lambda: dist.all_to_all_single(other, whole)

    def _filled(self, elements: int) -> Any:
        return self.device.torch.zeros(elements, device=self.device.device).fill_(0)


def _lacking(error: Exception) -> bool:
    """Whether the backend lacks a collective, rather than a rank having gone away."""
    words = ("not support", "unsupported", "not implemented", "no backend type")
    return isinstance(error, FAILURES) and any(word in str(error).lower() for word in words)
