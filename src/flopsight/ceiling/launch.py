"""What one small op costs: among many in a row, alone with the wait for it, and in a replayed graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from flopsight.ceiling.values import Launch
from flopsight.stopwatch import Spread, TorchDevice

OPS: Final = 100
"""Ops of one timed call and of one graph."""


def measure(device: TorchDevice, budget: float) -> Launch:
    """Adding one to one element: eager, alone, and in a graph where there are graphs."""
    x = device.torch.zeros(1, device=device.device)

    def many() -> None:
        for _ in range(OPS):
            x.add_(1)

    eager = _each(device.seconds(many, budget / 3))
    alone = Spread(*_alone(device, x))
    if not device.cuda:
        return Launch(eager, alone, why="graphs of kernels are captured on CUDA devices only")
    return Launch(eager, alone, _each(device.seconds(_graph(device, x), budget / 3)))


def _each(call: Spread) -> Spread:
    """Seconds of one op out of a call of many."""
    return replace(call, best=call.best / OPS, median=call.median / OPS, worst=call.worst / OPS)


def _alone(device: TorchDevice, x: Any) -> tuple[float, float, float, int]:
    found = sorted(device.once(lambda: x.add_(1)) for _ in range(200))
    return found[0], found[len(found) // 2], found[-1], len(found)


def _graph(device: TorchDevice, x: Any) -> Any:
    """A captured graph of many small ops, as a call that replays it."""
    graph = device.torch.cuda.CUDAGraph()
    with device.torch.cuda.device(device.device), device.torch.cuda.graph(graph):
        for _ in range(OPS):
            x.add_(1)
    return graph.replay
