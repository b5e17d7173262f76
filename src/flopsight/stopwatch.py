"""A torch device opened for timing, and seconds per call: warmed up, batched, the device waited for.

Calls that run asynchronously are timed in batches long enough that waiting for the device costs nothing beside them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from flopsight.errors import MissingCapability, UsageError

BATCH: Final = {"cpu": 0.5e-3}
"""Seconds that one timed batch lasts at least, by device type."""
_BATCH_ELSEWHERE: Final = 5e-3
MOST_SAMPLES: Final = 2000
PATIENCE: Final = 4


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds per call: best, median and worst of so many samples."""

    best: float
    median: float
    worst: float
    samples: int

    @property
    def spread(self) -> float:
        """(worst - best) / median."""
        return (self.worst - self.best) / self.median


def torch_module() -> Any:
    """Torch, imported for this explicit question; MissingCapability where it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise MissingCapability(
            "Measuring a device needs torch, which is not installed: pip install 'flopsight[torch]'."
        ) from error
    return torch


class TorchDevice:
    """A device that torch can use; UsageError where it cannot."""

    def __init__(self, device: str) -> None:
        self.torch = torch_module()
        try:
            self.device = self.torch.device(device)
            self.torch.empty(1, device=self.device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            lines = str(error).splitlines() or [type(error).__name__]
            why = "it knows no such kind" if "device type at start" in lines[0] else lines[0][:160].rstrip(". ")
            raise UsageError(f"torch cannot use the device {device!r}: {why}. Pass cpu, cuda:0, xpu or mps.") from error
        self.kind = str(self.device.type)
        if self.kind == "meta":
            raise UsageError("The device 'meta' computes nothing, so nothing can be timed: pass cpu or cuda:0.")
        self.cuda = self.kind == "cuda"

    @property
    def name(self) -> str:
        """What the driver calls the device; its kind where torch does not ask one."""
        if self.kind in ("cuda", "xpu"):
            return str(getattr(self.torch, self.kind).get_device_name(self.device))
        return self.kind

    def synchronize(self) -> None:
        """Wait until everything asked of the device is done."""
        if self.kind != "cpu":
            self.torch.accelerator.synchronize(self.device)

    def once(self, run: Callable[[], object], calls: int = 1) -> float:
        """Seconds per call of so many calls in a row."""
        start = time.perf_counter()
        for _ in range(calls):
            run()
        self.synchronize()
        return (time.perf_counter() - start) / calls

    def seconds(self, run: Callable[[], object], budget: float, *, least: int = 3) -> Spread:
        """Seconds per call over about `budget` seconds, after a warm-up.

        `least` samples are taken even if they take longer, but no more once that is `PATIENCE` times the budget.
        """
        self.once(run)
        calls = max(1, math.ceil(BATCH.get(self.kind, _BATCH_ELSEWHERE) / max(self.once(run), 1e-9)))
        start, found = time.perf_counter(), list[float]()
        while not found or len(found) < MOST_SAMPLES:
            passed = time.perf_counter() - start
            if found and passed > (PATIENCE * budget if len(found) < least else budget):
                break
            found.append(self.once(run, calls))
        return Spread(min(found), median(found), max(found), len(found))
