"""The waist between what is counted and what is timed: an `Op` of one part, and the `Cost` of many.

A part says only what its forward pass does. What a phase makes of it (the backward pass of training, recompute) is
arithmetic on the op, done once here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from flopsight.errors import UsageError
from flopsight.expr import Number
from flopsight.workload import Phase

Engine = Literal["matrix", "vector"]
Recompute = Literal["none", "selective", "full"]
RECOMPUTES = ("none", "selective", "full")


@dataclass(frozen=True, slots=True)
class Op:
    """One kind of work in a forward pass; FLOPs with a multiply-add as two, elements, never bytes.

    engine         "matrix" for contractions (what MFU counts), "vector" for everything else
    required       FLOPs the model asks for: real lengths, causal area, windows, active experts
    full           the same with the whole score square (what a counter of dense kernels sees); matrix ops only
    executed       FLOPs the usual fused kernels do (flash attention, absorbed latent attention in decode)
    backward       how many times `required` the backward pass needs; 2 for a contraction of two tensors that both
                   need gradients
    rebuilt        FLOPs that a fused backward recomputes although no checkpointing was asked for (flash attention
                   rebuilds the scores)
    core           True for scores and mix, the part that selective recomputation runs again
    reads, writes  activation elements moved
    cache_reads, cache_writes   elements of KV cache or recurrent state moved
    """

    name: str
    engine: Engine
    required: Number
    full: Number = 0
    executed: Number = 0
    backward: int = 2
    rebuilt: Number = 0
    core: bool = False
    reads: Number = 0
    writes: Number = 0
    cache_reads: Number = 0
    cache_writes: Number = 0


def matmul(name: str, rows: Number, inner: Number, columns: Number) -> Op:
    """[rows, inner] times a stored [inner, columns]: 2·rows·inner·columns."""
    flops = 2 * rows * inner * columns
    return Op(name, "matrix", flops, flops, flops, reads=rows * inner, writes=rows * columns)


def elementwise(name: str, elements: Number, per_element: int, *, inputs: int = 1, outputs: int = 1) -> Op:
    """`per_element` FLOPs on each of `elements`, on the vector engine; transcendental functions count as one."""
    flops = per_element * elements
    return Op(name, "vector", flops, 0, flops, reads=inputs * elements, writes=outputs * elements)


@dataclass(frozen=True, slots=True)
class Cost:
    """Exact whole amounts of work, summed over ops; the unit of every field is in `Op`'s docstring.

    required, full, executed   matrix FLOPs
    elementwise                vector FLOPs, required form
    """

    required: Number = 0
    full: Number = 0
    executed: Number = 0
    elementwise: Number = 0
    reads: Number = 0
    writes: Number = 0
    cache_reads: Number = 0
    cache_writes: Number = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Cost)))

    def __mul__(self, times: Number) -> Cost:
        return Cost(*(getattr(self, f.name) * times for f in fields(Cost)))


def cost(op: Op, phase: Phase, recompute: Recompute = "none") -> Cost:
    """What one op costs in a phase.

    Training is forward plus backward: required x (1 + backward). Executed adds what fused kernels rebuild and what
    activation checkpointing runs again: everything for "full", the attention core for "selective"
    (Korthikanti et al. 2022, arXiv 2205.05198).
    """
    if recompute not in RECOMPUTES:
        raise UsageError(f"Recompute is one of {', '.join(RECOMPUTES)}; got {recompute!r}.")
    if phase != "train":
        return _forward(op)
    times = 1 + op.backward
    again = op.executed if recompute == "full" or (recompute == "selective" and op.core) else 0
    moved = {name: getattr(op, name) * times for name in ("reads", "writes")}
    if op.engine == "vector":
        return Cost(elementwise=op.required * times, **moved)
    return Cost(op.required * times, op.full * times, op.executed * times + op.rebuilt + again, **moved)


def _forward(op: Op) -> Cost:
    moved = {name: getattr(op, name) for name in ("reads", "writes", "cache_reads", "cache_writes")}
    if op.engine == "vector":
        return Cost(elementwise=op.required, **moved)
    return Cost(op.required, op.full, op.executed, **moved)
