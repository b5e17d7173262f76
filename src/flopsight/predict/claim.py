"""Can a model make so many tokens a second for one user on a machine? The arithmetic, step by step.

weights   N·bits/8 bytes, shared by n devices                            do they fit?
floor     (weights read + cache read) / (n · bandwidth)                  seconds a token cannot go below
ceiling   1 / floor; asked / ceiling is the MBU that the asked rate needs
predicted one decode step of one sequence under the best layout, kernels and engine
MFU       required FLOPs of a token · tokens a second / peak
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

from flopsight.dtypes import dtype as number_format
from flopsight.errors import UsageError
from flopsight.facts import Fact
from flopsight.hardware.chip import Node
from flopsight.models.ledger import Ledger
from flopsight.models.plain import plain_size
from flopsight.plan import Formats, Plan
from flopsight.predict.chosen import one_copy
from flopsight.predict.corrections import own
from flopsight.predict.device import Device, device_of
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import Forward, forward
from flopsight.predict.generate import Pass, decode_pass
from flopsight.predict.interval import Interval, lognormal
from flopsight.predict.result import amounts
from flopsight.workload import Workload

Verdict = Literal["yes", "likely", "unlikely", "no", "unknown"]
ORDER: Final = ("yes", "likely", "unlikely", "unknown", "no")
WIDTHS: Final = ("bf16", "fp8", "4-bit")
NO_LAYOUT: Final = "no layout that its heads and layers allow and that fits"
MOST_DEVICES: Final = 256
"""Devices up to which a faster layout is looked for."""
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    params  where only a size was given: bytes then depend on it alone; 0 for a known model
    rate    tokens a second of one user
    context tokens behind which they are made
    cache   format of the cache, "" for the machine's 16 bits
    """

    book: Ledger
    rate: float
    context: int
    engine: Engine
    cache: str = ""
    params: int = 0

    @property
    def step(self) -> Workload:
        """One decode step of one user."""
        return self.batch(1)

    def batch(self, users: int) -> Workload:
        """One decode step of several users."""
        return Workload("decode", users, 1, self.context)

    @property
    def flops(self) -> float:
        """Required FLOPs of a token."""
        return float(self.book.total(self.step).required)


def question(book: Ledger, rate: float, context: int, engine: Engine, cache: str = "") -> Question:
    """A question about a model; its size alone counts where its name is one ("dense:1T")."""
    return Question(book, rate, context, engine, cache, plain_size(book.model.name) or 0)


@dataclass(frozen=True, slots=True)
class Format:
    """The claim in one weight format on one machine; bytes and seconds.

    width     bf16, fp8 or 4-bit; `stored` is the format that stands for it here
    count     devices that share the weights
    weights   of the whole model
    each      weights a device holds when all share them evenly
    room      bytes a device has for weights and cache
    read      bytes of weights one token must read: all once, of experts those visited
    moved     the same with the cache
    floor     moved / bandwidth of all devices; wafers, which hold layers one after another, work one at a time
    plan, step   the fastest layout that fits, and its decode step; None where there is none
    why       why there is no step
    fixed     seconds of a step that no bandwidth shortens: launches, exchanges, host
    """

    width: str
    stored: str
    count: int
    weights: float
    cache: float
    each: float
    room: float
    read: float
    floor: float
    plan: Plan | None = None
    step: Pass | None = None
    why: str = ""

    @property
    def moved(self) -> float:
        """Bytes one token must read."""
        return self.read + self.cache

    @property
    def fits(self) -> bool:
        """Whether weights and one user's cache fit when all devices share them."""
        return (self.weights + self.cache) / self.count <= self.room

    @property
    def ceiling(self) -> float:
        """Tokens a second at full bandwidth."""
        return 1 / self.floor

    @property
    def fixed(self) -> float:
        """Seconds of a step that no bandwidth shortens."""
        if self.step is None:
            return 0.0
        s = self.step.split
        return s.collective + s.launch + s.host + s.bubble

    def rates(self) -> Interval | None:
        """Predicted tokens a second."""
        return None if self.step is None else lognormal(self.step.seconds, self.step.sigma).turned()

    def verdict(self, rate: float) -> Verdict:
        """Whether the rate is reached."""
        if not self.fits or self.ceiling < rate:
            return "no"
        found = self.rates()
        if found is None:
            return "no" if self.why == NO_LAYOUT else "unknown"
        if found.low >= rate:
            return "yes"
        return "likely" if found.value >= rate else "unlikely" if found.high >= rate else "no"


@dataclass(frozen=True, slots=True)
class Users:
    """Several users together: seconds of a step and what is used meanwhile; shares are of all devices."""

    batch: int
    seconds: float
    sigma: float
    mfu: float
    mbu: float
    held: float


@dataclass(frozen=True, slots=True)
class Reach:
    """What a higher rate would take; None where nothing of the kind reaches it.

    by_bandwidth   devices whose bandwidth alone suffices
    devices, plan, rate   the fewest devices with which a layout is predicted to reach it, else the fastest there is
    bytes_         bytes a token may read on the devices given, launches and exchanges being what they are
    accepted       tokens every pass must yield (drafts accepted, plus one)
    """

    target: float
    by_bandwidth: int
    devices: int
    plan: Plan | None
    rate: float
    reached: bool
    bytes_: float | None
    accepted: float


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer for one machine."""

    node: Node
    device: Device
    formats: tuple[Format, ...]
    notes: tuple[str, ...] = ()

    def best(self, rate: float) -> Format:
        """The widest format with the best verdict; where all fail, one that fits, and of these the fastest."""
        order = sorted(self.formats, key=lambda f: (ORDER.index(f.verdict(rate)), not f.fits))
        top = order[0].verdict(rate)
        if top in ("yes", "likely", "unknown"):
            return order[0]
        return max(self.formats, key=lambda f: (f.fits, f.step is not None, f.ceiling))


# ------------------------------------------------------------ one machine


def claim(q: Question, node: Node) -> Claim:
    """The arithmetic of every weight format on a machine."""
    device = own(device_of(node.chip))
    if not device.memory:
        raise UsageError(f"{node.chip.label} cannot be asked: its record gives no memory size.")
    found = tuple(_format(q, node, device, width) for width in WIDTHS)
    return Claim(node, device, found)


def stored_as(device: Device, width: str) -> str:
    """The format that stands for a width here: four bits are fp4 where the device multiplies it, else int4."""
    if width == "4-bit":
        return "fp4" if device.has("fp4") else "int4"
    return "fp8" if width == "fp8" else next((n for n in ("bf16", "fp16") if device.has(n)), "bf16")


def _format(q: Question, node: Node, device: Device, width: str) -> Format:
    stored, wafer = stored_as(device, width), device.kind == "wafer"
    formats = Formats(weights=stored, cache=q.cache)
    weights, read, cache = sizes(q, device, formats)
    room = device.memory * (1.0 if wafer else q.engine.fraction)
    count = math.ceil((weights + cache) / room) if wafer and node.count == 1 else node.count
    floor = (read + cache) / (device.bandwidth * (1 if wafer else count))
    found = Format(width, stored, count, weights, cache, weights / count, room, read, floor)
    if not found.fits:
        return found
    plan, step, why = fastest(q, device, formats, count, room)
    return replace(found, plan=plan, step=step, why=why)


def sizes(q: Question, device: Device, formats: Formats) -> tuple[float, float, float]:
    """Bytes of all weights, of those one token reads, and of the cache it reads and writes, on one device alone."""
    run = forward(q.book, device, Plan(), formats)
    read, cache = amounts(run, q.step)
    if q.params:
        weights = float(q.params * Fraction(number_format(formats.weights).stored_bits) / 8)
        return weights, weights, cache
    return run.shard.weights, read, cache


def fastest(
    q: Question, device: Device, formats: Formats, count: int, room: float
) -> tuple[Plan | None, Pass | None, str]:
    """The layout of one copy with the shortest step among those that fit; why there is none."""
    if not device.peaks:
        return None, None, f"the compute rate of {device.label} is not published, so no time is predicted"
    if count > 1 and not (device.link or device.network):
        return None, None, f"the links of {device.label} are not on record, so no time is predicted"
    best: tuple[Plan, Pass] | None = None
    placed: set[int] = set()
    for plan in one_copy(q.book, count, device.domain):
        # more stages than it takes to fit only add sends, as one token passes through all of them
        if plan.tp in placed or not _holds(q, device, plan, formats, room):
            continue
        placed.add(plan.tp)
        step = decode_pass(q.book, device, plan, formats, 1, q.context, q.engine)
        if best is None or step.seconds < best[1].seconds:
            best = plan, step
    return (*best, "") if best else (None, None, NO_LAYOUT)


def _holds(q: Question, device: Device, plan: Plan, formats: Formats, room: float) -> bool:
    return held(q, forward(q.book, device, plan, formats), 1) <= room


def held(q: Question, run: Forward, users: int) -> float:
    """Bytes of weights and cache on one device."""
    _, cache = amounts(run, q.batch(users))
    return run.shard.weights + cache / run.plan.pp


# ------------------------------------------------------------ users together


def users(q: Question, node: Node, device: Device, f: Format) -> list[Users]:
    """Steps of growing batches under a format's layout, as far as the memory goes."""
    if f.plan is None:
        return []
    found = []
    formats = Formats(weights=f.stored, cache=q.cache)
    run = forward(q.book, device, f.plan, formats)
    for batch in BATCHES:
        held_ = held(q, run, batch)
        if held_ > f.room:
            break
        found.append(_users(q, node, run, f, batch, held_))
    return found


def _users(q: Question, node: Node, run: Forward, f: Format, batch: int, held_: float) -> Users:
    step = decode_pass(
        q.book, run.device, run.plan, Formats(weights=f.stored, cache=q.cache), batch, q.context, q.engine
    )
    whole = forward(q.book, run.device, Plan(), Formats(weights=f.stored, cache=q.cache))
    read, cache = amounts(whole, q.batch(batch))
    read = f.weights if q.params else read
    done = float(q.book.total(q.batch(batch)).required) / step.seconds
    mfu = done / (node.count * run.device.rate(run.kept.formats.compute))
    mbu = (read + cache) / step.seconds / (node.count * run.device.bandwidth)
    return Users(batch, step.seconds, step.sigma, mfu, mbu, held_)


def mfu_of(q: Question, node: Node, dtype: str, rate: float) -> float | None:
    """MFU of one user's rate over the machine's peak in a format; None where there is no such peak."""
    peak = node.peak(dtype)
    return q.flops * rate / float(peak.value) if isinstance(peak, Fact) else None


# ------------------------------------------------------------ more than that


def reach(q: Question, device: Device, f: Format, target: float) -> Reach:
    """What `target` tokens a second for one user would take in this format."""
    by_bandwidth = math.ceil(f.moved * target / device.bandwidth)
    if f.step is None:
        return Reach(target, by_bandwidth, 0, None, 0.0, False, None, 0.0)
    plan, rate, reached = _fewest(q, device, f, target)
    left = 1 / target - f.fixed
    waits = f.step.seconds - f.fixed
    bytes_ = f.moved * left / waits if left > 0 else None
    return Reach(
        target, by_bandwidth, plan.devices if plan else 0, plan, rate, reached, bytes_, target * f.step.seconds
    )


def _fewest(q: Question, device: Device, f: Format, target: float) -> tuple[Plan | None, float, bool]:
    """The smallest layout that reaches the target, else the fastest one."""
    formats = Formats(weights=f.stored, cache=q.cache)
    best: tuple[Plan | None, float] = (None, 0.0)
    most = min(MOST_DEVICES, device.domain) if device.link else 1
    for plan in one_copy(q.book, most, most):
        if plan.pp > 1 or not _holds(q, device, plan, formats, f.room):
            continue
        rate = 1 / decode_pass(q.book, device, plan, formats, 1, q.context, q.engine).seconds
        if rate >= target:
            return plan, rate, True
        if rate > best[1]:
            best = plan, rate
    return (*best, False)
