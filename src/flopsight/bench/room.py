"""Whether a step fits this machine's memory and the time given, and how many layers of it would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopsight.bench.forecast import WIDTHS, forecasts
from flopsight.bench.machine import Machine
from flopsight.models.ledger import Ledger
from flopsight.workload import Workload

SHARE: Final = 0.8
"""Of the memory that can be had now."""
STATES: Final = 4
"""Of training: weights, gradients and two moments."""
KEPT: Final = 1.0
"""Of the activations moved in the forward pass, what training keeps; each is written once and read at least once."""
STEPS: Final = 5
"""Steps that must fit the time: one to warm up, three to time, one part by part."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes and seconds of benching one workload."""

    weights: float
    state: float
    cache: float
    activations: float
    step: float

    @property
    def bytes(self) -> float:
        """At the same time."""
        return self.weights + self.state + self.cache + self.activations


def need(book: Ledger, workload: Workload, machine: Machine) -> Need:
    """Weights once (in training four times), the cache twice (it is copied), activations and fp32 logits."""
    width, params = WIDTHS[machine.dtype], book.params
    found = forecasts(book, workload, machine)
    cache = 2 * float(workload.batch * book.cache_elements(workload.past + workload.seq)) * width
    moved = sum(f.activations for f in found if f.path != "optimizer")
    training = workload.phase == "train"
    kept = KEPT * moved / 3 if training else max((f.activations for f in found), default=0.0)
    return Need(
        params * width, (STATES - 1) * params * width * training, 0.0 if training else cache, kept,
        sum(f.total for f in found),
    )  # fmt: skip


def fits(found: Need, memory: float | None, seconds: float) -> bool:
    """Whether it fits both."""
    return (memory is None or found.bytes <= SHARE * memory) and STEPS * found.step <= seconds
