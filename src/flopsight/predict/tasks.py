"""What one device launches: kernels with their shapes, each able to say what it moves and how long it takes.

A task knows nothing of the model or the layout; `shard` makes tasks of both. Every amount is of one execution on one
device; token-like arguments may be arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

from flopsight.expr import Number
from flopsight.parts.part import Part
from flopsight.predict.device import Device
from flopsight.predict.kernels.attention import Heads, attention_backward_seconds, attention_seconds
from flopsight.predict.kernels.collective import Kind, collective_seconds
from flopsight.predict.kernels.gemm import gemm_seconds
from flopsight.predict.kernels.grouped import grouped_seconds
from flopsight.predict.kernels.roofline import roofline, start_of
from flopsight.predict.kernels.vector import vector_seconds
from flopsight.workload import Work

HALF: Final = 2
"""Bytes of an activation between kernels."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What one execution does on one device.

    flops    executed matrix FLOPs
    weights, cache, other   bytes of parameters, of keys, values and states, and of activations
    sent     bytes of the message of a collective
    """

    flops: Number = 0
    weights: Number = 0
    cache: Number = 0
    other: Number = 0
    sent: Number = 0


class Kernel(Protocol):
    """One launch."""

    @property
    def compute(self) -> str:
        """The number format it multiplies in."""
        ...

    def amounts(self, work: Work) -> Amounts:
        """What it does under this work."""
        ...

    def seconds(self, device: Device, work: Work) -> Number:
        """How long the forward pass of it takes."""
        ...

    def backward(self, device: Device, work: Work) -> Number:
        """How long the backward pass of it takes."""
        ...


def width_of(compute: str) -> float:
    """Bytes of an activation as a matrix product reads it."""
    return {"fp8": 1.0, "int8": 1.0, "fp4": 0.5625}.get(compute, 2.0)


def summed(part: Part, work: Work) -> tuple[Number, Number, Number]:
    """Executed matrix FLOPs, elements of cache moved, and activation elements moved by a whole part."""
    flops: Number = 0
    cache: Number = 0
    other: Number = 0
    for op in part.ops(work):
        flops = flops + op.executed * (op.engine == "matrix")
        cache = cache + op.cache_reads + op.cache_writes
        other = other + op.reads + op.writes
    return flops, cache, other


@dataclass(frozen=True, slots=True)
class Dense:
    """[m, k] x [k, n]: m tokens, this device's k inputs and n outputs, `bits` a stored weight."""

    n: int
    k: int
    compute: str
    bits: float
    block: bool = False

    def amounts(self, work: Work) -> Amounts:
        """2·m·n·k FLOPs, the weights once, activations in and out."""
        m = work.tokens
        return Amounts(
            2 * m * self.n * self.k,
            weights=self.n * self.k * self.bits / 8,
            other=m * (self.k * width_of(self.compute) + HALF * self.n),
        )

    def seconds(self, device: Device, work: Work) -> Number:
        """One product."""
        found = gemm_seconds(
            device, work.tokens, self.n, self.k, compute=self.compute, weight_bits=self.bits, block=self.block
        )
        return found * device.factor(f"gemm.{self.compute}") if device.factors else found

    def backward(self, device: Device, work: Work) -> Number:
        """The gradient of the inputs [m, n] x [n, k] and of the weights [k, m] x [m, n]."""
        inputs = gemm_seconds(
            device, work.tokens, self.k, self.n, compute=self.compute, weight_bits=self.bits, block=self.block
        )
        return 2 * inputs


@dataclass(frozen=True, slots=True)
class Routed:
    """Experts: `stored` of E lie on this device, every token visits k; d width, f inner width of this device's shard.

    span   how many times this device's tokens arrive: the data-parallel groups that share the experts
    shards devices over which the experts are spread, for the luck of the draw
    block  fp8 scales lie on blocks of a matrix
    skew   load of the busiest device over the mean, if a histogram says so; 0 takes uniformly random routing
    """

    experts: int
    visited: int
    stored: float
    width: int
    inner: int
    gated: bool
    compute: str
    bits: float
    span: float = 1.0
    shards: int = 1
    skew: float = 0.0
    block: bool = False

    def rows(self, work: Work) -> Number:
        """Token visits of the busiest device: mean + sqrt(2·mean·ln shards) under uniformly random routing."""
        mean = work.tokens * self.span * self.visited * self.stored / self.experts
        if self.skew:
            return mean * self.skew
        return mean if self.shards == 1 else mean + (2 * math.log(self.shards) * mean) ** 0.5

    def distinct(self, work: Work) -> Number:
        """Experts of this device that someone visits: stored·(1 - (1 - k/E)^T)."""
        return self.stored * (1 - (1 - self.visited / self.experts) ** (work.tokens * self.span))

    @property
    def _matrix(self) -> int:
        return (2 + self.gated) * self.width * self.inner

    def amounts(self, work: Work) -> Amounts:
        """2·rows·(2 or 3)·d·f FLOPs, the visited experts' weights."""
        rows = self.rows(work)
        moved = rows * (self.width * (width_of(self.compute) + HALF) + self.inner * (3 * HALF + width_of(self.compute)))
        return Amounts(2 * rows * self._matrix, self.distinct(work) * self._matrix * self.bits / 8, other=moved)

    def seconds(self, device: Device, work: Work) -> Number:
        """Up and gate in one grouped product, activation, down."""
        rows, distinct = self.rows(work), self.distinct(work)
        up = (1 + self.gated) * self.inner
        times = [
            grouped_seconds(device, rows, distinct, n, k, compute=self.compute, weight_bits=self.bits, block=self.block)
            for n, k in ((up, self.width), (self.width, self.inner))
        ]
        return times[0] + times[1] + vector_seconds(device, rows * (up + self.inner) * HALF)

    def backward(self, device: Device, work: Work) -> Number:
        """Twice the forward."""
        return 2 * self.seconds(device, work)


@dataclass(frozen=True, slots=True)
class Core:
    """Scores, softmax and mix of this device's heads.

    part    the whole core; its ops give the pairs under the mask
    share   of the FLOPs, 1 / (tp·cp)
    cached  of the cache that this device reads: key-value heads are replicated when there are fewer than devices
    bits    of a cached element
    """

    part: Part
    heads: Heads
    share: float
    cached: float
    compute: str
    bits: float

    def amounts(self, work: Work) -> Amounts:
        """Executed FLOPs under the mask; the cache read and written once."""
        flops, cache, other = summed(self.part, work)
        return Amounts(
            flops * self.share, cache=cache * self.cached * self.bits / 8, other=other * self.share * HALF / 2
        )

    def seconds(self, device: Device, work: Work) -> Number:
        """One fused call."""
        a = self.amounts(work)
        found = attention_seconds(
            device, self.heads, sequences=work.sequences, queries=work.queries, flops=a.flops, cache_bytes=a.cache,
            other_bytes=a.other, compute=self.compute, cache_bits=self.bits,
        )  # fmt: skip
        return found * device.factor("attention") if device.factors else found

    def backward(self, device: Device, work: Work) -> Number:
        """2.5 times the forward's FLOPs in a fused kernel of its own."""
        flops = 2.5 * self.amounts(work).flops
        return attention_backward_seconds(
            device, self.heads, sequences=work.sequences, queries=work.queries, flops=flops, compute=self.compute
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """Norms, activations, rotary embedding, lookups: memory traffic with a few FLOPs.

    fused  done in the launch of its neighbour, so that only its bytes cost
    """

    part: Part
    share: float
    fused: bool = False

    @property
    def compute(self) -> str:
        """No matrix engine."""
        return ""

    def amounts(self, work: Work) -> Amounts:
        """Elements read and written, two bytes each."""
        return Amounts(other=summed(self.part, work)[2] * self.share * HALF)

    def seconds(self, device: Device, work: Work) -> Number:
        """One kernel, or bytes alone where fused."""
        found = vector_seconds(device, self.amounts(work).other)
        own = found - vector_seconds(device, 0) if self.fused else found
        return own * device.factor("vector")

    def backward(self, device: Device, work: Work) -> Number:
        """Twice the bytes."""
        return 2 * self.seconds(device, work)


@dataclass(frozen=True, slots=True)
class Other:
    """Any other part: recurrences, convolutions, indexers; a roofline at the class's efficiency."""

    part: Part
    share: float
    compute: str
    bits: float
    cache_bits: float

    def amounts(self, work: Work) -> Amounts:
        """Executed FLOPs, its own weights, cache and activations."""
        flops, cache, other = summed(self.part, work)
        stored = sum(t.elements for t in self.part.tensors())
        return Amounts(
            flops * self.share, stored * self.share * self.bits / 8, cache * self.share * self.cache_bits / 8,
            other * self.share * HALF,
        )  # fmt: skip

    def seconds(self, device: Device, work: Work) -> Number:
        """One launch at 40 % of the engine and 70 % of the memory: no measurement stands behind it."""
        a = self.amounts(work)
        memory = (a.weights + a.cache + a.other) / (0.7 * device.bandwidth)
        return roofline(a.flops / (0.4 * device.rate(self.compute)), memory, start_of(device))

    def backward(self, device: Device, work: Work) -> Number:
        """Twice the forward."""
        return 2 * self.seconds(device, work)


@dataclass(frozen=True, slots=True)
class Collective:
    """A message of `width` bytes a token among `ranks` devices.

    again  how many times the backward pass repeats it
    """

    how: Kind
    width: float
    ranks: int
    across: bool = False
    custom: bool = False
    again: float = 1.0

    @property
    def compute(self) -> str:
        """No matrix engine."""
        return ""

    def amounts(self, work: Work) -> Amounts:
        """Bytes of the message."""
        return Amounts(sent=work.tokens * self.width)

    def seconds(self, device: Device, work: Work) -> Number:
        """One call; ranks beyond a fast domain are in two levels."""
        return collective_seconds(device, self.how, work.tokens * self.width, self.ranks, custom=self.custom)

    def backward(self, device: Device, work: Work) -> Number:
        """The same message back, `again` times."""
        return self.again * self.seconds(device, work)


@dataclass(frozen=True, slots=True)
class Task:
    """A kernel in its place.

    path     of the leaf, or of the leaf after which it comes
    kind     line of the parameter breakdown, or "collective"
    stream   whose tokens it sees
    times    executions in one pass of the whole model
    layered  lies in the numbered layers, so that pipeline stages share it
    core     scores and mix, which selective recomputation runs again
    """

    path: str
    kind: str
    stream: str
    times: int
    layered: bool
    kernel: Kernel
    core: bool = False

    @property
    def by_tokens(self) -> bool:
        """Whether its time depends on nothing but the number of tokens."""
        return isinstance(self.kernel, Dense | Routed | Collective | Moved)
