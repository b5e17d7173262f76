"""A prediction as one value: the time of a step, its causes and parts, what is used meanwhile, what memory holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from flopsight.facts import Fact
from flopsight.hardware.chip import Node
from flopsight.models.ledger import Ledger
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import Forward
from flopsight.predict.interval import Interval, lognormal
from flopsight.predict.step import Split
from flopsight.utilization import Share
from flopsight.workload import Workload

Phase = Literal["train", "prefill", "decode", "serve"]
PHASES: Final = ("train", "prefill", "decode", "serve")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request with everything filled in.

    batch         sequences together over all devices, for prefill and decode
    concurrency   requests in flight, for serve
    isl, osl      prompt and answer tokens
    seq, micro_batch, global_batch   of training
    prefix_hit    share of a prompt that lies in the cache already
    acceptance, draft_tokens   of speculative decoding: drafts a step, and the share of them that stand
    chosen        sentences about what was chosen because nobody said
    """

    phase: Phase
    book: Ledger
    node: Node
    device: Device
    plan: Plan
    formats: Formats
    engine: Engine
    batch: int = 1
    concurrency: int = 1
    isl: int = 1
    osl: int = 1
    seq: int = 1
    micro_batch: int = 1
    global_batch: int = 1
    framework: str = "generic"
    prefix_hit: float = 0.0
    acceptance: float | None = None
    draft_tokens: int = 0
    chosen: tuple[str, ...] = ()

    @property
    def each(self) -> int:
        """Sequences of the fullest replica."""
        return -(-self.batch // self.plan.dp)


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the step: a module's task, or a named share of a training step.

    seconds  that count; `hidden` runs behind other work
    flops, weights, cache, other, sent   what one device does: executed FLOPs and bytes
    mfu      executed FLOPs over what the engine of the part's format could do meanwhile, one device
    """

    path: str
    kind: str
    seconds: float
    binds: str
    times: int = 1
    hidden: float = 0.0
    flops: float = 0.0
    weights: float = 0.0
    cache: float = 0.0
    other: float = 0.0
    sent: float = 0.0
    compute: str = ""
    mfu: float | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of one device by use, and how far they reach.

    total    bytes of the device; `room` what the software may fill
    most     the largest batch that fits (sequences over all devices; micro-batch in training); 0 where nothing fits
    what     the name of that batch
    """

    uses: dict[str, float]
    total: float
    room: float
    most: int
    what: str

    @property
    def held(self) -> float:
        """Bytes of all uses."""
        return sum(self.uses.values())

    @property
    def fits(self) -> bool:
        """Whether they fit; True where the memory is not known."""
        return not self.total or self.held <= self.room


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds with the standard deviation of log(measured / predicted)."""

    seconds: float
    sigma: float

    @property
    def interval(self) -> Interval:
        """Nine of ten measurements should lie inside."""
        return lognormal(self.seconds, self.sigma)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer.

    step      one optimizer step, one prefill, or one decode step (for serve: at the running batch)
    tokens    the step makes, over all devices; tokens_per_s is of all devices
    split     of the step; the causes add up to it
    shares    MFU, HFU and MBU over all devices
    ttft, tpot  where the phase has them
    """

    ask: Ask
    step: Timed
    tokens: float
    tokens_per_s: float
    split: Split
    hidden: float
    parts: tuple[Part, ...]
    shares: tuple[Share, ...]
    room: Room
    compute: str
    ttft: Timed | None = None
    tpot: Timed | None = None
    total: Timed | None = None
    running: float = 0.0
    extra: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def amounts(run: Forward, workload: Workload) -> tuple[float, float]:
    """Bytes of weights and of cache that a device moves in a pass, all pipeline stages together."""
    works = run.book.works(workload)
    weights, cache = 0.0, 0.0
    for task in run.shard.tasks:
        work = works[task.stream]
        if work.tokens:
            found = task.kernel.amounts(work)
            weights += float(found.weights) * task.times
            cache += float(found.cache) * task.times
    return weights, cache


def engine_of(run: Forward) -> str:
    """The format whose peak MFU is divided by: the fastest one that dense or routed products run in."""
    formats, routed = run.kept.formats, "experts" in run.book.by_kind
    names = [formats.compute, *([formats.experts_compute] if routed else [])]
    return max(names, key=run.device.rate)


def flop_shares(run: Forward, node: Node, required: float, executed: float, seconds: float) -> list[Share]:
    """MFU and HFU of a step over all devices; none where the data sheet has no such rate."""
    dtype = engine_of(run)
    peak = node.peak(dtype)
    could = float(peak.value) if isinstance(peak, Fact) else node.count * run.device.rate(dtype)
    pairs = (("MFU", required, "exact: required FLOPs"), ("HFU", executed, "executed FLOPs"))
    return [
        Share(name, done / seconds, could, f"{told}, dense {dtype} peak", "datasheet") for name, done, told in pairs
    ]


def byte_share(run: Forward, node: Node, workload: Workload, seconds: float) -> Share:
    """MBU of a decode step: weights (visited experts) and cache that each device reads once."""
    weights, cache = amounts(run, workload)
    used = run.plan.devices / run.plan.pp
    moved = (weights + cache) * used
    return Share(
        "MBU", moved / seconds, node.count * run.device.bandwidth, "weights and cache, once a step", "datasheet"
    )


def drawing(found: Prediction) -> tuple[float, float, float]:
    """What power follows: shares of the peak and of the bandwidth over the step, and of it in which kernels run.

    HFU; the bytes of the parts over the bandwidth, or in training, whose parts have none, the share of the time that
    waits for bytes.
    """
    ask, split, seconds = found.ask, found.split, found.step.seconds
    hfu = next(s.ratio for s in found.shares if s.name == "HFU")
    moved = sum(p.weights + p.cache + p.other for p in found.parts) / ask.plan.pp
    waits = split.weights + split.cache + split.other
    memory = moved / seconds / ask.device.bandwidth if moved else waits / seconds
    idle = (split.host + split.bubble) / seconds
    return min(1.0, hfu), min(1.0, memory), max(0.01, min(1.0, 1 - idle))
