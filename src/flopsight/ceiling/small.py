"""A small set of ceilings in a few seconds, for whoever needs a denominator now: meter and bench."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from flopsight.ceiling import bandwidth, launch, neighbours
from flopsight.ceiling.caches import levels_of
from flopsight.ceiling.memory import available
from flopsight.ceiling.search import best_product
from flopsight.ceiling.values import Ceilings
from flopsight.facts import Unknown
from flopsight.stopwatch import TorchDevice

FORMATS: Final = ("fp32", "bf16", "fp16")
_SECONDS: Final = 0.7
"""For each number format."""
_CROWDED: Final = 0.05


def quick(device: str = "cpu", formats: tuple[str, ...] = FORMATS) -> Ceilings:
    """Measure products in a few formats, the main memory and a launch, in under five seconds.

    Raises MissingCapability without torch, UsageError for a device it cannot use.
    """
    opened, before = TorchDevice(device), neighbours.ticks()
    products = [best_product(opened, dtype, _SECONDS) for dtype in formats]
    levels = levels_of(opened)
    size = bandwidth.sizes(opened, levels, available(opened))[-1]
    memory: dict[str, float] = {
        each: bandwidth.measure(opened, each, size, levels, 0.15).best for each in bandwidth.DIRECTIONS
    }
    return Ceilings(
        device=device, name=opened.name, peaks={p.dtype: p.best for p in products if p.time}, memory=memory,
        launch=launch.measure(opened, 0.2).eager.median,
        threads=int(opened.torch.get_num_threads()) if opened.kind == "cpu" else 0,
        torch=str(opened.torch.__version__), date=datetime.now(UTC).strftime("%Y-%m-%d"),
        notes=(*(f"{p.dtype} not run: {p.why}" for p in products if p.why), *_crowd(before)),
    )  # fmt: skip


def _crowd(before: neighbours.Ticks | None) -> list[str]:
    """A word on other programs, where they took part of what was to be measured."""
    found = neighbours.shares(before, neighbours.ticks())
    if isinstance(found, Unknown) or found.others < _CROWDED:
        return []
    return [f"other programs used {found.others:.0%} of the processors' time meanwhile"]
