"""Every way to lay copies of a model over the devices of a server, and why some ways are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from flopsight.models.ledger import Ledger
from flopsight.parts.attention import AttentionCore
from flopsight.parts.mla import LatentCore
from flopsight.parts.moe import Experts
from flopsight.plan import Plan
from flopsight.predict.device import Device
from flopsight.predict.shard import depth

MOST_STAGES: Final = 16
HEADS: Final = "attention heads do not divide by tp"
LINKS: Final = "tp reaches beyond the devices that fast links join"
EXPERTS: Final = "experts or their inner width do not divide"
BLOCKS: Final = "the checkpoint's quantization blocks do not divide"
DEPTH: Final = "more pipeline stages than layers"
ENGINE: Final = "the engine has no options for it"
WEIGHTS: Final = "the weights do not fit"
CACHE: Final = "no room for the cache of one request"
TTFT: Final = "misses TTFT with a single request"
TPOT: Final = "misses TPOT with a single request"


@dataclass(frozen=True, slots=True)
class Layout:
    """Independent copies of a server.

    plan     of one copy: dp counts attention replicas that share its experts
    copies   servers behind a load balancer
    devices  of the machine; those that no copy uses idle
    """

    plan: Plan
    copies: int
    devices: int

    @property
    def idle(self) -> int:
        """Devices without work."""
        return self.devices - self.copies * self.plan.devices

    def __str__(self) -> str:
        one = str(self.plan) if self.plan.devices > 1 else "1 device"
        return f"{self.copies} x {one}" if self.copies > 1 else one


@dataclass(slots=True)
class Tally:
    """How many layouts were looked at, and why some were refused."""

    seen: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def refuse(self, why: str, times: int = 1) -> None:
        """Count a refusal."""
        self.refused[why] += times


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a model decides how it can be split.

    heads    attention heads of every core
    experts  (experts, inner width) of every routed layer kind
    block    inner width that one scale of the checkpoint's quantization covers, 1 without blocks
    """

    heads: tuple[int, ...]
    experts: tuple[tuple[int, int], ...]
    layers: int
    block: int = 1

    @property
    def routed(self) -> bool:
        """Whether there are experts."""
        return bool(self.experts)


def shape(book: Ledger, *, stored: bool = True) -> Shape:
    """The shape of a model; `stored` keeps to the blocks of the checkpoint's own quantization."""
    text = [one.part for one in book.leaves if one.stream == "text"]
    heads = sorted({p.heads for p in text if isinstance(p, AttentionCore | LatentCore)})
    experts = sorted({(p.experts, p.inner) for p in text if isinstance(p, Experts)})
    return Shape(tuple(heads), tuple(experts), depth(book), _block(book) if stored else 1)


def _block(book: Ledger) -> int:
    """Rows of a block-wise scale (`weight_block_size` of fp8 checkpoints)."""
    size = (book.model.quantization or {}).get("weight_block_size")
    return int(size[0]) if isinstance(size, list | tuple) and size and isinstance(size[0], int) and size[0] > 0 else 1


def serving_layouts(of: Shape, device: Device, count: int, tally: Tally) -> Iterator[Layout]:
    """Every layout of up to `count` devices whose heads, experts and layers divide; the rest goes to the tally."""
    for size in sizes(count):
        for plan in _plans(of, size):
            tally.seen += 1
            why = refusal(of, device, plan)
            if why:
                tally.refuse(why)
            else:
                yield Layout(plan, count // size, count)


def sizes(count: int) -> list[int]:
    """Devices of one copy: divisors, and powers of two with what is left over idle."""
    powers = {2**i for i in range(count.bit_length()) if 2**i <= count}
    return sorted(powers | {n for n in range(1, count + 1) if count % n == 0})


def _plans(of: Shape, size: int) -> Iterator[Plan]:
    for pp in divisors(size):
        if pp > MOST_STAGES:
            continue
        wide = size // pp
        for tp in divisors(wide) if of.routed else [wide]:
            for ep in divisors(wide) if of.routed else [1]:
                yield Plan(tp=tp, pp=pp, dp=wide // tp, ep=ep, etp=wide // ep if of.routed else 0)


def divisors(number: int) -> list[int]:
    """All of them, ascending."""
    return [n for n in range(1, number + 1) if number % n == 0]


def refusal(of: Shape, device: Device, plan: Plan) -> str:
    """Why a model cannot be split so; "" where it can."""
    if any(heads % plan.tp for heads in of.heads):
        return HEADS
    if plan.tp > max(1, device.domain):
        return LINKS
    if any(experts % plan.ep or inner % plan.expert_tp for experts, inner in of.experts):
        return EXPERTS
    if of.block > 1 and any((inner // plan.expert_tp) % of.block for _, inner in of.experts):
        return BLOCKS
    return DEPTH if plan.pp > of.layers else ""
