"""Read, write and copy bandwidth by working set, from the first cache to the main memory.

A call on a small working set would time the call, not the cache. So each thread goes over its own part many times in
one call: through a view whose rows overlap all but 64 bytes, which moves the same bytes again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from flopsight.ceiling.caches import MEMORY, Level, level_of
from flopsight.ceiling.values import Bandwidth, Direction
from flopsight.stopwatch import TorchDevice

SMALLEST: Final = {"cpu": 16 * 2**10}
_SMALLEST_ELSEWHERE: Final = 2**20
"""Below this a call on an accelerator times its launch."""
BEYOND: Final = 4
"""Times the last cache that the largest working set is at least."""
LEAST: Final = {"cpu": 2**26}
_LEAST_ELSEWHERE: Final = 2**30
"""Bytes that the largest working set has at least: a smaller one is over before all of an accelerator is busy."""
_NO_CACHE_KNOWN: Final = 2**26
_MOVED: Final = 4 * 2**20
"""Bytes that one call moves at least."""
_LINE: Final = 16
"""Elements of 4 bytes by which rows are shifted."""
DIRECTIONS: Final[tuple[Direction, ...]] = ("read", "write", "copy")


def sizes(device: TorchDevice, levels: Sequence[Level], available: int | None) -> list[int]:
    """Powers of two from the first cache to four times the last, at most a half of the memory available."""
    most = largest(device, levels)
    most = most if available is None else min(most, available // 4)
    found = [SMALLEST.get(device.kind, _SMALLEST_ELSEWHERE)]
    while found[-1] < most:
        found.append(found[-1] * 2)
    return found


def largest(device: TorchDevice, levels: Sequence[Level]) -> int:
    """Bytes of a working set that lies in the main memory, whatever the caches keep of it."""
    last = max((level.total for level in levels), default=_NO_CACHE_KNOWN)
    return max(BEYOND * last, LEAST.get(device.kind, _LEAST_ELSEWHERE))


def measure(device: TorchDevice, direction: Direction, size: int, levels: Sequence[Level], budget: float) -> Bandwidth:
    """B/s of one direction at one working set of `size` bytes, over all threads."""
    threads = int(device.torch.get_num_threads()) if device.kind == "cpu" else 1
    made: dict[Direction, Callable[[TorchDevice, int, int], tuple[Callable[[], object], int]]]
    made = {"read": _read, "write": _write, "copy": _copy}
    run, moved = made[direction](device, size, threads)
    time = device.seconds(run, budget)
    return Bandwidth(direction, size, level_of(size, threads, levels), moved, time)


def plateaus(points: Iterable[Bandwidth]) -> dict[tuple[str, Direction], Bandwidth]:
    """The fastest point of each level and direction; of memory those at twice the smallest size or more.

    Just beyond the last cache a part of the working set still lies in it.
    """
    kept = list(points)
    outside = min((point.size for point in kept if point.level == MEMORY), default=0)
    largest = max((point.size for point in kept), default=0)
    kept = [p for p in kept if p.level != MEMORY or p.size >= min(2 * outside, largest)]
    found: dict[tuple[str, Direction], Bandwidth] = {}
    for point in kept:
        key = (point.level, point.direction)
        if key not in found or point.best > found[key].best:
            found[key] = point
    return found


def _buffer(device: TorchDevice, size: int) -> Any:
    """Written before it is read: pages that were never written are all one page of zeros."""
    return device.torch.empty(size // 4, dtype=device.torch.int32, device=device.device).fill_(1)


def _again(buffer: Any, threads: int, device: TorchDevice) -> Any:
    """A view (threads, 2, ..., 2, row) that passes over the buffer as often as one call needs; plain if large."""
    part = buffer.numel() // threads
    times = 0
    while device.kind == "cpu" and (4 * buffer.numel() << times) < _MOVED:
        times += 1
    shape = (threads, *(2,) * times, part - _LINE * times)
    return buffer.as_strided(shape, (part, *(_LINE,) * times, 1))


def _read(device: TorchDevice, size: int, threads: int) -> tuple[Callable[[], object], int]:
    view = _again(_buffer(device, size), threads, device)
    if device.kind != "cpu":  # one row on an accelerator would be read by one block
        return lambda: device.torch.amax(view), 4 * view.numel()
    out = device.torch.empty(view.shape[:-1], dtype=view.dtype, device=device.device)
    return lambda: device.torch.amax(view, dim=-1, out=out), 4 * view.numel()


def _write(device: TorchDevice, size: int, threads: int) -> tuple[Callable[[], object], int]:
    view = _again(_buffer(device, size), threads, device)
    return lambda: view.fill_(2), 4 * view.numel()


def _copy(device: TorchDevice, size: int, threads: int) -> tuple[Callable[[], object], int]:
    source, target = (_again(_buffer(device, size // 2), threads, device) for _ in range(2))
    return lambda: target.copy_(source), 2 * 4 * source.numel()
