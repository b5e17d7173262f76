"""Pipeline schedules: how long a step waits for other stages, and how layers are dealt to stages.

A stage's time for one micro-batch is forward F, gradients of its inputs B and of its weights W. Waiting, at the slowest
stage of p with m micro-batches and v chunks a device:

    gpipe, 1f1b    sum of the other stages' F + B + W        (p-1)/m of the work where all are equal
                   Huang et al. 2019, arXiv 1811.06965; Narayanan et al. 2021, arXiv 2104.04473, section 2.2
    interleaved    the same over v                           (p-1)/(v·m)
                   Narayanan et al. 2021, section 2.2.2
    zero_bubble    sum of the others' F + B - W (ZB-H1)      (p-1)·(F+B-W)
                   Qi et al. 2024, arXiv 2401.10241, table 2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flopsight.errors import UsageError


@dataclass(frozen=True, slots=True)
class Stage:
    """Seconds of one micro-batch on one pipeline device: forward, input gradients, weight gradients."""

    forward: float
    inputs: float
    weights: float

    @property
    def total(self) -> float:
        """F + B + W."""
        return self.forward + self.inputs + self.weights


def bubble(schedule: str, stages: Sequence[Stage], vp: int = 1) -> float:
    """Seconds the slowest stage waits for the others in one step; 0 for one stage.

    Independent of the number of micro-batches: they only dilute it.
    """
    slowest = max(range(len(stages)), key=lambda i: stages[i].total)
    others = [one for i, one in enumerate(stages) if i != slowest]
    if schedule == "zero_bubble":
        return sum(max(0.0, one.forward + one.inputs - one.weights) for one in others)
    return sum(one.total for one in others) / (vp if schedule == "interleaved" or vp > 1 else 1)


def deal(layers: int, pp: int, vp: int = 1) -> tuple[int, ...]:
    """Layers each pipeline device holds: chunks of equal size, dealt in turn."""
    if pp * vp > layers:
        raise UsageError(f"pp {pp} x vp {vp} is more than {layers} layers.")
    held = chunks(layers, pp * vp)
    return tuple(sum(held[stage::pp]) for stage in range(pp))


def chunks(layers: int, count: int) -> list[int]:
    """Layers of each chunk in the order of the model.

    What is missing for equal chunks is taken from the last chunk and the first one in turn, which also hold the head
    and the embedding, then from the others (Megatron-LM's uneven and embedding-counting splits end in the same counts).
    """
    size = -(-layers // count)
    held, missing = [size] * count, size * count - layers
    ends = [index for pair in zip(range(count - 1, -1, -1), range(count), strict=True) for index in pair]
    for index in ends:
        if missing and held[index] == size:
            held[index] -= 1
            missing -= 1
    return held


def in_flight(schedule: str, pp: int, vp: int, micro_batches: int) -> float:
    """Micro-batches whose activations the first stage holds at once.

    gpipe m; 1f1b and ZB-H1 min(p, m); interleaved p·(1 + (p-1)/(p·v)), at most m (Korthikanti et al. 2022,
    arXiv 2205.05198, section 4.2.3).
    """
    if pp == 1:
        return 1.0
    if schedule == "gpipe":
        return float(micro_batches)
    most = pp * (1 + (pp - 1) / (pp * vp)) if vp > 1 else float(pp)
    return min(most, float(micro_batches))
