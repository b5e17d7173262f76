"""Bodies that run once: jit, checkpoint, custom derivatives; and those that run once a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from flopsight.jax.bodies.body import Walk
from flopsight.jax.fact import GRADIENT, UNKNOWN, Fact
from flopsight.jax.need import ALL, NOTHING, Need
from flopsight.jax.tally import Tally


@dataclass(frozen=True, slots=True)
class Call:
    """A jaxpr that takes the operands and gives the results."""

    jaxpr: Any

    def learn(self, walk: Walk, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        """What the body makes of the facts."""
        return walk.learn(self.jaxpr, facts)[1]

    def needs(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need]) -> tuple[Need, ...]:
        """What the body needs."""
        return walk.needs(self.jaxpr, facts, wanted)

    def work(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need], path: str) -> list[tuple[Tally, int]]:
        """Once."""
        del path
        return [(walk.work(self.jaxpr, facts, wanted), 1)]


@dataclass(frozen=True, slots=True)
class Same:
    """A primitive that gives its operands back: barriers, sharding constraints."""

    def learn(self, walk: Walk, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        """As they came."""
        del walk
        return tuple(facts)

    def needs(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need]) -> tuple[Need, ...]:
        """As they are wanted."""
        del walk, facts
        return tuple(wanted)

    def work(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need], path: str) -> list[tuple[Tally, int]]:
        """None."""
        del walk, facts, wanted, path
        return []


@dataclass(frozen=True, slots=True)
class PerDevice:
    """A jaxpr that each of `devices` runs on its own part: shard_map, pmap."""

    jaxpr: Any
    devices: int

    def learn(self, walk: Walk, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        """Shapes differ inside: only what comes from gradients is kept."""
        del walk
        fact = GRADIENT if any(f.gradient for f in facts) else UNKNOWN
        return (fact,) * len(_open(self.jaxpr).outvars)

    def needs(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need]) -> tuple[Need, ...]:
        """All or nothing."""
        inner = walk.needs(self.jaxpr, _plain(facts), [_whole(need) for need in wanted])
        return tuple(_whole(need) for need in inner)

    def work(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need], path: str) -> list[tuple[Tally, int]]:
        """Once a device."""
        del path
        if self.devices > 1:
            walk.note(
                f"inside shard_map and pmap shapes are those of one device; their work was taken {self.devices} times, "
                "once for each device of the mesh, also where devices repeat each other's"
            )
        return [(walk.work(self.jaxpr, _plain(facts), [_whole(need) for need in wanted]), self.devices)]


def shard_map(eqn: Any) -> PerDevice:
    """The devices along the axes that the body sees by hand."""
    sizes = dict(eqn.params["mesh"].shape)
    axes = eqn.params.get("newly_manual_axes") or eqn.params.get("manual_axes") or sizes
    return PerDevice(eqn.params["jaxpr"], prod(sizes[axis] for axis in axes))


def pmap(eqn: Any) -> PerDevice:
    """One device for each index of the mapped axis."""
    return PerDevice(eqn.params["call_jaxpr"], int(eqn.params["global_axis_size"]))


def _plain(facts: Sequence[Fact]) -> list[Fact]:
    return [GRADIENT if fact.gradient else UNKNOWN for fact in facts]


def _whole(need: Need) -> Need:
    return need if need is NOTHING else ALL


def _open(jaxpr: Any) -> Any:
    return getattr(jaxpr, "jaxpr", jaxpr)
