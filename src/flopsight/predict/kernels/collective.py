"""Collectives as latency, bandwidth and the price of filling a pipeline, by algorithm and fabric.

One algorithm takes `a + 2·k·sqrt(a·b·S) + b·S` for a message of S bytes: a seconds until the last rank has the first
byte, b = x / (rate · efficiency) seconds a byte, x times the message over one device's links, and k for pieces that are
neither too small nor too many (k = 1: pieces of the best equal size; 0: no pieces). The fastest algorithm counts.

    ring                                x = 2(n-1)/n for an all-reduce, (n-1)/n for a gather, scatter or exchange
    nvls (reduced in the switch)        x = (n+1)/n: each device sends its part and hears the sum; bus rate may pass
                                        that of the links
    one-shot, two-shot (engines' own)   x = n-1: everyone reads everything; x = 2(n-1)/n in two rounds
    low-latency, high-throughput        tokens to experts and back, x = (n-1)/n of what a rank sends

Thakur, Rabenseifner and Gropp 2005, "Optimization of collective communication operations in MPICH", for a + b·S;
NVIDIA, nccl-tests, PERFORMANCE.md, for x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log2
from typing import Any, Final, Literal

from flopsight.errors import UsageError
from flopsight.expr import Number, minimum
from flopsight.predict.device import Device
from flopsight.predict.kernels.roofline import coefficients

Kind = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send"]

IN_SWITCH: Final = ("Hopper", "Blackwell", "Rubin")
"""Families whose switches add up what passes through them."""
IN_SWITCH_FROM: Final = 8
"""Ranks from which libraries let the switch add: with fewer a ring moves less, or not much more."""
USUAL_NETWORK: Final = 50e9
"""B/s of one device's share of the network where none is on record: a 400 Gb/s port, assumed."""
BOARD: Final = 70e9
"""B/s of links below which a device without a named fabric is taken to sit on the host's bus."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The time of a collective, and the algorithm that is fastest at this size."""

    seconds: float
    algorithm: str


@dataclass(frozen=True, slots=True)
class Way:
    """One algorithm among so many ranks: seconds(S) = start + 2·bend·sqrt(start·each·S) + each·S."""

    algorithm: str
    start: float
    each: float
    bend: float

    def seconds(self, size: Number) -> Number:
        """Of a message of `size` bytes."""
        return self.start + 2 * self.bend * (self.start * self.each * size) ** 0.5 + self.each * size


def collective_seconds(
    device: Device, kind: Kind, size: Number, ranks: int, *, across: bool = False, custom: bool = False
) -> Number:
    """Seconds of one collective over `ranks` devices.

    size    bytes of the whole message: what every rank holds after an all-reduce or all-gather, or before a
            reduce-scatter; what one rank sends in all for an all-to-all; the message of a send
    across  each rank lies in a fast domain of its own and uses the network
    custom  the kernels of inference engines may serve small all-reduces inside a domain; an all-to-all is then that of
            experts, with unequal parts that no library's exchange takes
    Ranks beyond one domain (and not `across`) are in two levels: inside each domain, and between domains with every
    device carrying its share over its own port. UsageError where no link is on record.
    """
    if ranks <= 1:
        return 0 * size
    if not across and ranks > device.domain > 1:
        return _two_levels(device, kind, size, ranks, custom)
    found = [way.seconds(size) for way in ways(device, kind, ranks, across, custom)]
    return _least(found)


def collective(
    device: Device, kind: Kind, size: float, ranks: int, *, across: bool = False, custom: bool = False
) -> Choice:
    """The same for one message, with the name of the algorithm that was taken to serve it."""
    if ranks <= 1:
        return Choice(0.0, "none")
    if not across and ranks > device.domain > 1:
        inside = collective(device, kind, size, device.domain, custom=custom)
        return Choice(
            float(_two_levels(device, kind, size, ranks, custom)), f"{inside.algorithm} in domains, ring across"
        )
    best = min(ways(device, kind, ranks, across, custom), key=lambda way: float(way.seconds(size)))
    return Choice(float(best.seconds(size)), best.algorithm)


def collective_spread(device: Device, *, across: bool = False) -> float:
    """Standard deviation of log(measured / predicted) of one call, from sizes or devices left out of the fit."""
    data = coefficients("collective")
    if across:
        return float(data["network"]["spread"])
    own = data["chips"].get(device.id)
    return float(own["spread"] if own else _class(device)["spread"])


def _least(found: list[Number]) -> Number:
    least = found[0]
    for each in found[1:]:
        least = min(least, each) if isinstance(least, float) and isinstance(each, float) else minimum(least, each)
    return least


def _two_levels(device: Device, kind: Kind, size: Number, ranks: int, custom: bool) -> Number:
    """Domains work while the network does: the slower bounds, the other adds its latency.

    Each device takes 1/g of the message across, g devices in a domain; of an exchange, what is meant for elsewhere.
    """
    domains = ceil(ranks / device.domain)
    if kind == "send":
        return collective_seconds(device, kind, size, 2, across=True)
    inside = collective_seconds(device, kind, size * _near(kind, device, ranks), device.domain, custom=custom)
    share = 1.0 if kind == "all_to_all" else 1 / device.domain
    out = collective_seconds(device, kind, size * share, domains, across=True)
    least = min(ways(device, kind, domains, True, False)[0].start, _first(device, kind, custom))
    return inside + out - _least([inside, out]) + least


def _near(kind: Kind, device: Device, ranks: int) -> float:
    """Share of a message that stays in the domain: of an exchange, what its own g of R ranks get."""
    return device.domain / ranks if kind == "all_to_all" else 1.0


def _first(device: Device, kind: Kind, custom: bool) -> float:
    return min(way.start for way in ways(device, kind, device.domain, False, custom))


# ------------------------------------------------------------ algorithms of a device


@lru_cache(4096)
def ways(device: Device, kind: Kind, ranks: int, across: bool, custom: bool) -> tuple[Way, ...]:
    """The algorithms that may serve, the library's first."""
    if across:
        return (_network(device, kind, ranks),)
    numbers = _numbers(device)
    found = [_library(device, numbers["library"], kind, ranks)]
    own = numbers.get("custom", {})
    if custom and kind == "all_reduce" and own and ranks <= own["most"]:
        found += [_own(device, name, own[name], ranks) for name in ("one-shot", "two-shot") if name in own]
    if custom and kind == "all_to_all" and "experts" in numbers:
        return tuple(_expert(device, name, each, ranks) for name, each in numbers["experts"].items())
    return tuple(found)


def _numbers(device: Device) -> dict[str, Any]:
    found: dict[str, Any] = coefficients("collective")["chips"].get(device.id) or _class(device)
    return found


def _class(device: Device) -> dict[str, Any]:
    """What stands for a device without measurements: its family on its fabric, else its fabric."""
    classes, kind = coefficients("collective")["classes"], fabric(device)
    found: dict[str, Any] = classes.get(f"{kind} {device.family}") or classes[kind]
    return found


def fabric(device: Device) -> str:
    """The kind of the device's links: switch, mesh, torus or bus; of a device made from numbers by their rate."""
    return device.fabric or ("switch" if device.link > BOARD else "bus")


def _library(device: Device, kinds: dict[str, Any], kind: Kind, ranks: int) -> Way:
    """The collective library of the vendor."""
    if kind == "send":
        one = kinds["all_to_all"]
        start = start_us(device, one, kind, 2) * 1e-6
        return Way("send", start, 1 / (_rate(device, 2) * one["rate"][0]), one["bend"][0])
    one = kinds[kind]
    name = algorithm(device, kind, ranks)
    each = traffic(name, kind, ranks) * _detour(device, kind, ranks) / (_rate(device, ranks) * at(one, "rate", ranks))
    return Way(name, start_us(device, one, kind, ranks) * 1e-6, each, at(one, "bend", ranks))


def algorithm(device: Device, kind: Kind, ranks: int) -> str:
    """What the library runs on large messages."""
    if kind == "all_to_all":
        return "direct"
    adds = fabric(device) == "switch" and device.family in IN_SWITCH and ranks >= IN_SWITCH_FROM
    return "nvls" if kind == "all_reduce" and adds else "ring"


def traffic(name: str, kind: Kind, ranks: int) -> float:
    """Times a message passes over one device's links, one way: the x of an algorithm."""
    if name == "nvls":
        return (ranks + 1) / ranks
    if name == "one-shot":
        return ranks - 1
    return {"all_reduce": 2.0, "send": ranks / (ranks - 1)}.get(kind, 1.0) * (ranks - 1) / ranks


def rounds(kind: Kind, ranks: int) -> float:
    """Messages one after the other: 2(n-1) or n-1 round a ring, at most 8·log2(n) where a tree takes over.

    The rings were seen to 16 ranks; the tree's factor is assumed.
    """
    ring = {"all_reduce": 2.0, "send": 1 / (ranks - 1)}.get(kind, 1.0) * (ranks - 1)
    return min(ring, 8 * log2(ranks))


def start_us(device: Device, one: dict[str, Any], kind: Kind, ranks: int) -> float:
    """Microseconds before the first byte has passed everywhere."""
    if fabric(device) == "torus":
        sides = _sides(device, ranks)
        return float(one["start"] + one["hop"] * len(sides) * max(1.0, sides[0] / 2) * (1 + (kind == "all_reduce")))
    return float(one["start"] + one["hop"] * rounds(kind, ranks))


def at(one: dict[str, Any], name: str, ranks: int) -> float:
    """A number given at some counts of ranks: straight between them by log2(ranks), held beyond."""
    knots, values = one["ranks"], one[name]
    if ranks <= knots[0]:
        return float(values[0])
    for low, high, a, b in zip(knots, knots[1:], values, values[1:], strict=False):
        if ranks <= high:
            return float(a + (b - a) * log2(ranks / low) / log2(high / low))
    return float(values[-1])


def _own(device: Device, name: str, one: dict[str, float], ranks: int) -> Way:
    """An engine's all-reduce: a start, so much more for each further rank, and the links' share that it reaches."""
    start = (one["start"] + one["hop"] * (ranks - 1)) * 1e-6
    return Way(name, start, traffic(name, "all_reduce", ranks) / (_rate(device, ranks) * one["rate"]), 0.0)


def _expert(device: Device, name: str, one: dict[str, float], ranks: int) -> Way:
    """Tokens to experts or back."""
    each = traffic(name, "all_to_all", ranks) * _detour(device, "all_to_all", ranks)
    return Way(name, one["start"] * 1e-6, each / (_rate(device, ranks) * one["rate"]), one["bend"])


def _network(device: Device, kind: Kind, ranks: int) -> Way:
    """Between domains, one rank in each: a ring over the device's own port."""
    one = coefficients("collective")["network"]
    start = (one["start"] + one["hop"] * rounds(kind, ranks)) * 1e-6
    rate = (device.network or USUAL_NETWORK) * one["rate"]
    return Way("ring across", start, traffic("ring", kind, ranks) / rate, one["bend"])


# ------------------------------------------------------------ fabrics


def _rate(device: Device, ranks: int) -> float:
    """B/s that one device can send to a group of so many: all links behind a switch, those to the others in a mesh.

    In a torus a block of n chips has log2(n) neighbours for each, until all its links are in use.
    """
    rate = device.link or device.network
    if not rate:
        raise UsageError(
            f"{device.label} has no links on record, so {ranks} of them cannot be joined; "
            "ask about one device, or give the link's rate."
        )
    if not device.pair or fabric(device) not in ("mesh", "torus"):
        return rate
    neighbours = ranks - 1 if fabric(device) == "mesh" else log2(ranks)
    return min(rate, device.pair * max(1.0, neighbours))


def _sides(device: Device, ranks: int) -> list[float]:
    """A block of chips in a torus: as many axes as the links allow, of equal length."""
    axes = max(1, min(round(device.link / device.pair / 2) if device.pair else 1, ceil(log2(ranks) / 2)))
    return [ranks ** (1 / axes)] * axes


def _detour(device: Device, kind: Kind, ranks: int) -> float:
    """Links that a byte of an exchange passes: one, but a quarter of each side's length in a torus."""
    if kind != "all_to_all" or fabric(device) != "torus":
        return 1.0
    return max(1.0, sum(side / 4 for side in _sides(device, ranks)))


def bound(device: Device, kind: Kind, size: float, ranks: int) -> float:
    """Seconds that no algorithm of ours can beat inside a domain: the least traffic at the full rate of the links."""
    name = "nvls" if device.family in IN_SWITCH and fabric(device) == "switch" else "ring"
    least = min(traffic("ring", kind, ranks), traffic(name, kind, ranks) if kind == "all_reduce" else 2.0)
    return least * size / _rate(device, ranks)
