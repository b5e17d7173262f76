"""What data-parallel replicas exchange in a step, and how much of it hides behind compute.

    zero 0      gradients summed: one all-reduce a step
    zero 1, 2   gradients scattered, updated parameters gathered: the same bytes
    zero 3      parameters gathered before the forward and again before the backward pass, gradients scattered, in
                every micro-batch (fully sharded data parallel)
    hsdp        shards summed once more over the replicas

Rajbhandari et al. 2020, arXiv 1910.02054, section 7; Zhao et al. 2023, arXiv 2304.11277.
"""

from __future__ import annotations

from dataclasses import dataclass

from flopsight.plan import Plan
from flopsight.predict.device import Device
from flopsight.predict.kernels.collective import Kind, collective_seconds


@dataclass(frozen=True, slots=True)
class Group:
    """Devices that exchange with each other: `local` in each of `domains` fast domains."""

    local: int
    domains: int

    @property
    def ranks(self) -> int:
        """local·domains."""
        return self.local * self.domains


def group(device: Device, ranks: int, inner: int) -> Group:
    """The group of `ranks` devices that lie `inner` devices apart, tensor parallelism innermost."""
    local = max(1, min(ranks, device.domain // max(inner, 1)))
    while ranks % local:
        local -= 1
    return Group(local, ranks // local)


def spread_seconds(device: Device, kind: Kind, size: float, over: Group) -> float:
    """Seconds of a collective over a group that may reach beyond one fast domain.

    Each local device carries its share of the message over its own network port while the domain exchanges what
    arrived; the two run at once, so the slower one counts.
    """
    if over.ranks <= 1 or size <= 0:
        return 0.0
    if over.domains == 1:
        return float(collective_seconds(device, kind, size, over.ranks))
    out = float(collective_seconds(device, kind, size / over.local, over.domains, across=True))
    return max(out, float(collective_seconds(device, kind, size, over.local))) if over.local > 1 else out


@dataclass(frozen=True, slots=True)
class Traffic:
    """Seconds of data-parallel exchange.

    forward, backward   in every micro-batch, beside its passes (zero 3)
    reduce, gather      once a step: beside the last backward and the first forward pass
    """

    forward: float = 0.0
    backward: float = 0.0
    reduce: float = 0.0
    gather: float = 0.0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.forward + other.forward, self.backward + other.backward, self.reduce + other.reduce,
            self.gather + other.gather,
        )  # fmt: skip

    def __mul__(self, times: float) -> Traffic:
        return Traffic(self.forward * times, self.backward * times, self.reduce * times, self.gather * times)


def traffic(
    device: Device, plan: Plan, weights: float, gradients: float, *, replicas: int, inner: int, each: bool = True
) -> Traffic:
    """The exchange of one kind of parameters.

    weights, gradients   bytes of one device's shard before data-parallel sharding
    replicas   devices that hold the same shard; `inner` devices apart
    each       zero 3 scatters gradients in every micro-batch, not only in the last
    """
    if replicas <= 1:
        return Traffic()
    over = group(device, replicas // plan.hsdp if replicas % plan.hsdp == 0 else replicas, inner)
    if plan.zero == 0:
        return Traffic(reduce=spread_seconds(device, "all_reduce", gradients, group(device, replicas, inner)))
    scatter = spread_seconds(device, "reduce_scatter", gradients, over)
    gather = spread_seconds(device, "all_gather", weights, over)
    again = _between(device, plan, gradients / over.ranks, replicas, over)
    if plan.zero < 3:
        return Traffic(reduce=scatter + again, gather=gather)
    if each:
        return Traffic(gather, gather + scatter, again)
    return Traffic(gather, gather, scatter + again)


def _between(device: Device, plan: Plan, size: float, replicas: int, over: Group) -> float:
    """The sum of shards over hybrid replicas."""
    ranks = replicas // over.ranks
    if plan.hsdp == 1 or ranks <= 1:
        return 0.0
    return spread_seconds(device, "all_reduce", size, group(device, ranks, over.ranks))


def exposed(comm: float, compute: float, overlap: float, buckets: int) -> float:
    """Seconds of exchange that compute does not hide: max(0, comm - overlap·compute) + the last bucket.

    The last of `buckets` equal pieces has nothing left to hide behind; it is at most the whole exchange.
    """
    left = max(0.0, comm - overlap * compute)
    return min(comm, left + comm / max(buckets, 1))
