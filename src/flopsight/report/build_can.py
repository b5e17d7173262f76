"""From a question and machines to the answer of `can`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from flopsight.dtypes import dtype as number_format
from flopsight.errors import UsageError
from flopsight.hardware.chip import Node
from flopsight.hardware.machine import node as find_node
from flopsight.models.asked import check
from flopsight.models.ledger import ledger
from flopsight.models.load import load
from flopsight.models.plain import plain_name, size_of
from flopsight.predict.claim import Claim, Format, Question, Users, claim, mfu_of, question, reach, users
from flopsight.predict.device import Device
from flopsight.predict.engines.catalog import engine as find_engine
from flopsight.predict.engines.engine import Engine
from flopsight.predict.framework import Framework
from flopsight.predict.interval import Interval, lognormal
from flopsight.predict.kernels.roofline import coefficients
from flopsight.predict.step import Split
from flopsight.report.can import CanResult, FormatRow, MachineRow, Range, RateRow, ReachRow, UserRow
from flopsight.units import check_number
from flopsight.workload import Workload

PACE: Final = 20.0
"""A pace of reading that is often quoted, shown beside the one asked."""
LEFT_OUT: Final = (
    "prompts of other users, queueing and the network to the user",
    "quality: whether the model still answers well in fewer bits",
    "scales of 4-bit formats, which add 6 to 13 % to the weights",
)

OTHERS: Final = ("8xh200", "8xb200", "8xgb300", "72xgb300", "8xmi355x", "8xtpu7x", "wse-3")
"""One of each kind of machine that serves such models; a wafer alone stands for as many as hold the model."""


def asked(
    model: str | Mapping[str, Any] | None, on: str, rate: float, params: float | None, context: int, cache: str,
    engine: str, compare: Sequence[str] | None, files: Sequence[str],
) -> tuple[Question, Node, list[Node]]:  # fmt: skip
    """A request as a question and its machines; UsageError for what means nothing."""
    if (model is None) == (params is None):
        raise UsageError("Name a model or give --params with a number of parameters, one of the two.")
    if isinstance(context, bool) or not isinstance(context, int) or context < 1:
        raise UsageError(f"The context is a whole number of at least 1; got {context!r}.")
    check_rate(rate)
    if cache:
        number_format(cache)
    book = ledger(load(plain_name(size_of(params)) if params is not None else model or ""))
    if book.model.no_flops:
        raise UsageError(f"Nothing can be said of {book.model.name}: {book.model.no_flops}.")
    check(book, Workload("decode", 1, 1, context))
    names = OTHERS if compare is None else [name for name in compare if name.strip()]
    node, others = find_node(on, files), [find_node(name, files) for name in names]
    return question(book, rate, context, find_engine(engine), cache), node, [n for n in others if n.name != node.name]


def basis_of(software: Engine | Framework, *devices: Device) -> str:
    """Where the width of an interval comes from, and on which chips it is wider."""
    told = f"the interval is the spread of {software.name}: {software.source}"
    if software.source == "assumed" or software.name == "none":
        told = f"the interval is assumed: no measurements of {software.name} stand behind it"
    measured = coefficients("gemm").get("chips", {})
    borrowed = dict.fromkeys(d.label.partition(" (")[0] for d in devices if d.peaks and d.id not in measured)
    return told + (f"; wider for {', '.join(borrowed)}, whose kernels were not measured" if borrowed else "")


def check_rate(rate: float) -> float:
    """A rate above zero; UsageError for any other."""
    if check_number(rate, "tokens a second") <= 0:
        raise UsageError(f"Tokens a second are above zero; got {rate}.")
    return rate


def build(q: Question, node: Node, others: Sequence[Node], target: float) -> CanResult:
    """Everything `can` says."""
    first = claim(q, node)
    best = first.best(q.rate)
    dtype = "bf16" if not best.step else _computed(first.device, best)
    rest = [claim(q, other) for other in others]
    devices = [c.device for c in (first, *rest)]
    return CanResult(
        model=q.book.model.name, params=q.params or q.book.params, flops_per_token=q.flops, tokens_per_s=q.rate,
        context=q.context, engine=q.engine.name, basis=basis_of(q.engine, *devices), cache_dtype=q.cache or "16 bits",
        verdict=best.verdict(q.rate),
        machine=_machine(q, first, target), users=[_user(u) for u in users(q, node, first.device, best)],
        rates=[_rate(q, node, rate, dtype) for rate in sorted({PACE, q.rate})],
        others=[_machine(q, c, target) for c in rest],
        notes=list(q.book.model.notes), left_out=list(LEFT_OUT),
        next=_next(q, node, best),
    )  # fmt: skip


def _computed(device: Device, f: Format) -> str:
    """The format the machine multiplies these weights in."""
    return {"fp8": "fp8", "fp4": "fp4"}.get(f.stored, "bf16") if device.has(f.stored) else "bf16"


def _machine(q: Question, c: Claim, target: float) -> MachineRow:
    best = c.best(q.rate)
    return MachineRow(
        machine=c.node.name, label=c.node.chip.label, devices=best.count, memory_bytes_per_device=c.device.memory,
        bandwidth_per_device=c.device.bandwidth, bandwidth_one_at_a_time=c.device.kind == "wafer",
        verdict=best.verdict(q.rate), width=best.width, formats=[_format(q, f) for f in c.formats],
        reach=_reach(q, c, target), notes=list(c.device.notes),
    )  # fmt: skip


def _format(q: Question, f: Format) -> FormatRow:
    rates = f.rates()
    return FormatRow(
        width=f.width, stored=f.stored, devices=f.count, weight_bytes=f.weights, weight_bytes_per_device=f.each,
        room_bytes_per_device=f.room, fits=f.fits, read_bytes=f.read, moved_bytes=f.moved, floor_s=f.floor,
        ceiling_tokens_per_s=f.ceiling, mbu_needed=q.rate * f.floor, layout=str(f.plan) if f.plan else "",
        seconds=range_of(lognormal(f.step.seconds, f.step.sigma)) if f.step else None,
        tokens_per_s=range_of(rates) if rates else None, causes=causes(f.step.split) if f.step else {},
        verdict=f.verdict(q.rate), why=_why(q, f),
    )  # fmt: skip


def _why(q: Question, f: Format) -> str:
    if not f.fits:
        return "does not fit"
    if f.ceiling < q.rate:
        return "its bandwidth alone rules it out"
    return f.why


def causes(split: Split) -> dict[str, float]:
    """Seconds by cause, those that are nothing left out."""
    return {f.name: value for f in fields(Split) if (value := float(getattr(split, f.name)))}


def range_of(i: Interval) -> Range:
    """An interval as the answer holds it."""
    return Range(low=i.low, value=i.value, high=i.high, level=i.level)


def _user(u: Users) -> UserRow:
    return UserRow(
        users=u.batch, seconds=range_of(lognormal(u.seconds, u.sigma)), tokens_per_s_each=1 / u.seconds,
        tokens_per_s=u.batch / u.seconds, mfu=u.mfu, mbu=u.mbu, bytes_per_device=u.held,
    )  # fmt: skip


def _rate(q: Question, node: Node, rate: float, dtype: str) -> RateRow:
    names = list(dict.fromkeys(("bf16", dtype, "fp8")))
    shares = {name: share for name in names if (share := mfu_of(q, node, name, rate)) is not None}
    return RateRow(tokens_per_s=rate, flops_per_s=q.flops * rate, mfu=shares)


def _reach(q: Question, c: Claim, target: float) -> ReachRow | None:
    """In the format that is fastest; None where the model does not fit."""
    able = [f for f in c.formats if f.step is not None]
    if not able and not c.best(q.rate).fits:
        return None
    best = min(able, key=lambda f: f.step.seconds if f.step else 0.0) if able else c.formats[-1]
    found = reach(q, c.device, best, target)
    return ReachRow(
        target_tokens_per_s=target, width=best.width, devices_by_bandwidth=found.by_bandwidth, devices=found.devices,
        layout=str(found.plan) if found.plan else "", tokens_per_s=found.rate, reached=found.reached,
        bytes_per_token=found.bytes_, fixed_s=best.fixed, tokens_per_pass=found.accepted,
    )  # fmt: skip


def _next(q: Question, node: Node, f: Format) -> str:
    weights = "" if f.width == "bf16" else f" --weights {f.stored}"
    return (
        f"flopsight predict {q.book.model.name} --on {node.name} --phase decode --isl {q.context}{weights}"
        if f.step
        else f"flopsight count {q.book.model.name} --phase decode --past {q.context}"
    )
