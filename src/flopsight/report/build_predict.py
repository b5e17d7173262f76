"""From a request in a user's words to the answer of `predict`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from flopsight.errors import UsageError
from flopsight.facts import Unknown
from flopsight.hardware.chip import Node
from flopsight.hardware.machine import node as find_node
from flopsight.models.asked import check
from flopsight.models.ledger import Ledger, ledger
from flopsight.models.load import load
from flopsight.plan import Formats, Plan
from flopsight.predict.chosen import inference_plan, training_layouts
from flopsight.predict.corrections import own
from flopsight.predict.device import Device, device_of
from flopsight.predict.energy import dollars_per_million, energy, energy_interval
from flopsight.predict.engines.catalog import engine as find_engine
from flopsight.predict.forward import forward
from flopsight.predict.framework import framework as find_framework
from flopsight.predict.result import PHASES, Ask, Part, Prediction, Timed, drawing
from flopsight.predict.room import room_of
from flopsight.predict.run import predict, training_room
from flopsight.predict.shard import check as check_plan
from flopsight.report.build_can import basis_of, causes, range_of
from flopsight.report.can import Range
from flopsight.report.mfu import ShareRow
from flopsight.report.predict import MemoryRow, MoneyRow, PartRow, PredictResult
from flopsight.units import check_number
from flopsight.utilization import Share
from flopsight.workload import Workload

ISL: Final = 1024
SEQ: Final = 4096
PASSES: Final = 4
"""Micro-batches for each pipeline stage, where no global batch is given."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user said; None and "" were left out."""

    phase: str
    on: str
    batch: int | None = None
    concurrency: int | None = None
    isl: int | None = None
    osl: int | None = None
    seq: int | None = None
    micro_batch: int = 1
    global_batch: int | None = None
    dtype: str = ""
    weights: str = ""
    kv: str = ""
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    ep: int | None = None
    cp: int | None = None
    zero: int | None = None
    recompute: str = ""
    engine: str = ""
    framework: str = "generic"
    files: tuple[str, ...] = ()
    price: float | None = None
    depth: int | None = None
    vp: int | None = None
    schedule: str = ""
    prefix_hit: float = 0.0
    acceptance: float | None = None
    draft_tokens: int = 0


def asked(model: str | Mapping[str, Any], wish: Wish) -> Ask:
    """The request with everything filled in; UsageError for what means nothing."""
    if wish.phase not in PHASES:
        raise UsageError(f"The phase is one of {', '.join(PHASES)}; got {wish.phase!r}.")
    _check(wish)
    book, node = ledger(load(model)), find_node(wish.on, wish.files)
    device = own(device_of(node.chip))
    _possible(book, wish, device, node)
    formats = Formats(compute=wish.dtype, weights=wish.weights, cache=wish.kv)
    tokens = book.model.context or ISL
    keeps = bool(book.cache_per_token or book.cache_fixed)
    fixed = int(book.tokens(Workload("prefill", 1, 1))) if book.by_sample else 0
    first = Ask(
        wish.phase, book, node, device, Plan(), formats, find_engine(wish.engine or ("vllm" if keeps else "none")),  # type: ignore[arg-type]
        isl=fixed or wish.isl or min(ISL, tokens), osl=wish.osl or (min(ISL, tokens) if wish.phase == "serve" else 1),
        seq=fixed or wish.seq or min(SEQ, tokens), micro_batch=wish.micro_batch,
        framework=find_framework(wish.framework).name, prefix_hit=wish.prefix_hit, acceptance=wish.acceptance,
        draft_tokens=wish.draft_tokens,
    )  # fmt: skip
    return _training(first, wish) if wish.phase == "train" else _inference(first, wish)


def _check(wish: Wish) -> None:
    for name in ("batch", "concurrency", "isl", "osl", "seq", "micro_batch", "global_batch"):
        value = getattr(wish, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**30):
            raise UsageError(f"--{name.replace('_', '-')} is a whole number of at least 1; got {value!r}.")
    _check_serving(wish)
    if wish.price is not None and check_number(wish.price, "the price") < 0:
        raise UsageError(f"The price of a device-hour is not below zero; got {wish.price!r}.")
    if wish.depth is not None and wish.depth < 0:
        raise UsageError(f"--depth is zero or more; got {wish.depth}.")


def _check_serving(wish: Wish) -> None:
    """Drafts and cached prompts belong to a served request, schedules to training."""
    if wish.phase != "serve" and (wish.prefix_hit or wish.draft_tokens or wish.acceptance is not None):
        raise UsageError("--prefix-hit, --draft-tokens and --acceptance belong to --phase serve.")
    if wish.phase != "train" and (wish.vp is not None or wish.schedule):
        raise UsageError("--vp and --schedule belong to --phase train.")
    if wish.acceptance is not None and not wish.draft_tokens:
        raise UsageError("An acceptance needs --draft-tokens: how many are drafted a step.")


def _possible(book: Ledger, wish: Wish, device: Device, node: Node) -> None:
    model = book.model
    if model.no_flops:
        raise UsageError(f"No time can be predicted for {model.name}: {model.no_flops}.")
    if model.confidence != "formula":
        raise UsageError(f"{model.name} is counted from traced modules, which cannot be laid over devices.")
    phase = "decode" if wish.phase == "serve" else wish.phase
    check(book, Workload(phase, 1, 1, 1 if phase == "decode" else 0))  # type: ignore[arg-type]
    if not device.peaks:
        raise UsageError(f"{node.chip.label} cannot be predicted: its compute rate is not published.")
    if node.count > 1 and not (device.link or device.network):
        raise UsageError(f"{node.label} cannot be predicted: no links between its devices are on record.")


# ------------------------------------------------------------ inference


def _inference(ask: Ask, wish: Wish) -> Ask:
    plan, told = _inference_plan(ask, wish)
    batch = wish.batch or plan.dp
    clients = wish.concurrency or wish.batch or 16 * plan.dp
    if ask.phase == "serve" and not wish.concurrency and not wish.batch:
        told = [*told, f"{clients} requests in flight"]
    return replace(ask, plan=plan, batch=batch, concurrency=clients, chosen=tuple(told))


def _inference_plan(ask: Ask, wish: Wish) -> tuple[Plan, list[str]]:
    """The layout asked for; what is left open is filled so that all devices work and the model fits."""
    given = {name: value for name in ("tp", "pp", "dp", "ep", "cp") if (value := getattr(wish, name)) is not None}
    rest = {"zero": wish.zero or 0, "recompute": wish.recompute or "none"}
    if wish.zero or wish.recompute not in ("", "none"):
        raise UsageError("--zero and --recompute belong to training; leave them out or pass --phase train.")
    if "tp" in given or "dp" in given:
        return _completed(ask, given, rest), []
    left = given.get("pp", 1) * given.get("cp", 1)
    if ask.node.count % left:
        raise UsageError(f"pp x cp = {left} does not divide {ask.node.count} devices.")
    plan = inference_plan(ask.book, ask.node.count, ask.device.domain, left).with_(**{**given, **rest})
    check_plan(ask.book, plan)
    return _deeper(ask, plan, "pp" in given)


def _deeper(ask: Ask, plan: Plan, fixed: bool) -> tuple[Plan, list[str]]:
    """Copies are given up for stages of a pipeline until the weights fit."""
    found = plan
    for pp in range(1, plan.dp + 1):
        if fixed or plan.dp % pp:
            continue
        found = plan.with_(pp=pp, dp=plan.dp // pp)
        run = forward(ask.book, ask.device, found, ask.formats)
        if room_of(replace(ask, plan=found), run).fits:
            return found, [f"layout {found}"]
    return plan, [f"layout {plan}"]


def _completed(ask: Ask, given: dict[str, int], rest: dict[str, Any]) -> Plan:
    """The degree that nobody gave takes the devices that are left."""
    for name, value in given.items():
        if value < 1:
            raise UsageError(f"--{name} is a whole number of at least 1; got {value}.")
    product, count = 1, ask.node.count
    for name in ("tp", "pp", "dp", "cp"):
        product *= given.get(name, 1)
    open_ = "dp" if "dp" not in given else "tp" if "tp" not in given else ""
    told = " x ".join(f"{name} {given[name]}" for name in ("tp", "pp", "dp", "cp") if name in given)
    if count % product or (not open_ and product != count):
        whole = f"{told} = {product}" if " x " in told else told
        raise UsageError(f"{whole} {'does not divide' if open_ else 'is not'} the {count} devices of --on.")
    filled = {**given, **({open_: count // product} if open_ else {})}
    plan = Plan(**{**filled, **rest, "sequence_parallel": ask.phase == "train" and filled.get("tp", 1) > 1})
    check_plan(ask.book, plan)
    return plan


# ------------------------------------------------------------ training


def _training(ask: Ask, wish: Wish) -> Ask:
    given = {name: value for name in ("tp", "pp", "dp", "ep", "cp") if (value := getattr(wish, name)) is not None}
    rest: dict[str, Any] = {"recompute": wish.recompute or "none"}
    if wish.vp is not None:
        rest["vp"] = wish.vp
    if wish.schedule or (wish.vp or 1) > 1:
        rest["schedule"] = wish.schedule or "interleaved"
    if given.keys() & {"tp", "pp", "dp"}:
        plan = _completed(ask, given, {**rest, "zero": 1 if wish.zero is None else wish.zero})
        return _batched(
            replace(ask, plan=plan), wish, [] if wish.zero is not None else ["optimizer state sharded (zero 1)"]
        )
    return _smallest(ask, wish, {**given, **rest})


def _smallest(ask: Ask, wish: Wish, fixed: dict[str, Any]) -> Ask:
    """The layout with the fewest devices a copy that fits; recompute is added only where nothing else does."""
    recomputes = [wish.recompute] if wish.recompute else ["none", "full"]
    last: Ask | None = None
    cp = fixed.get("cp", 1)
    if ask.node.count % cp:
        raise UsageError(f"cp {cp} does not divide {ask.node.count} devices.")
    for recompute in recomputes:
        for tp, pp in training_layouts(ask.book, ask.node.count // cp, ask.device.domain):
            dp = ask.node.count // (cp * tp * pp)
            for zero in _zeros(wish, dp, pp):
                shape = {"tp": tp, "pp": pp, "dp": dp, "zero": zero, "sequence_parallel": tp > 1}
                plan = Plan(**{**fixed, **shape, "recompute": recompute})
                last = _batched(replace(ask, plan=plan), wish, [f"layout {plan}, recompute {recompute}"])
                if training_room(last).fits:
                    return last
    if last is None:
        raise UsageError(f"No layout of {ask.node.count} devices suits {ask.book.model.name}.")
    return last


def _zeros(wish: Wish, dp: int, pp: int) -> list[int]:
    """Degrees of sharding worth a try: the one asked for, else the mildest first."""
    if wish.zero is not None:
        return [wish.zero]
    return [0] if dp == 1 else [1, 3] if pp == 1 else [1]


def _batched(ask: Ask, wish: Wish, told: list[str]) -> Ask:
    """The global batch: the one asked for, else a few micro-batches for each stage of the pipeline."""
    each = ask.plan.dp * ask.micro_batch
    if wish.global_batch is None:
        passes = 1 if ask.plan.pp == 1 else PASSES * ask.plan.pp
        return replace(ask, global_batch=each * passes, chosen=(*told, f"global batch {each * passes}"))
    return replace(ask, global_batch=wish.global_batch, chosen=tuple(told))


# ------------------------------------------------------------ the answer


def build(ask: Ask, wish: Wish) -> PredictResult:
    """Everything `predict` says."""
    found = predict(ask)
    shares = {s.name: _share(s) for s in found.shares}
    split = causes(found.split)
    if found.extra.get("prompts", 0.0) > 0:
        split["prompts"] = found.extra["prompts"]
    software = find_framework(ask.framework) if ask.phase == "train" else ask.engine
    batch = {"train": ask.global_batch, "serve": ask.concurrency}.get(ask.phase, ask.batch)
    return PredictResult(
        model=ask.book.model.name, phase=ask.phase, machine=ask.node.name, label=ask.node.chip.label,
        devices=ask.node.count, layout=str(ask.plan), chosen=list(ask.chosen),
        software=software.name, basis=basis_of(software, ask.device),
        formats=_formats(found), batch=batch, micro_batch=ask.micro_batch, isl=ask.isl, osl=ask.osl, seq=ask.seq,
        seconds=_timed(found.step),
        tokens=found.tokens, tokens_per_s=found.tokens_per_s,
        tokens_per_s_per_device=found.tokens_per_s / ask.node.count,
        tokens_per_s_per_user=1 / found.tpot.seconds if found.tpot else None,
        ttft=_timed(found.ttft) if found.ttft else None, tpot=_timed(found.tpot) if found.tpot else None,
        whole=_timed(found.total) if found.total else None, mfu=shares["MFU"], hfu=shares["HFU"],
        mbu=shares.get("MBU"), causes=split, binds=max(split, key=lambda name: split[name]), hidden_s=found.hidden,
        parts=_parts(_gathered(found.parts, wish.depth)), memory=_memory(found), money=_money(ask, found, wish.price),
        details={k: v for k, v in {"running": found.running, **found.extra}.items() if k != "prompts"},
        notes=[*found.notes, *ask.book.model.notes], left_out=list(found.left_out), next=_next(ask),
    )  # fmt: skip


def _formats(found: Prediction) -> dict[str, str]:
    ask = found.ask
    kept = forward(ask.book, ask.device, ask.plan, ask.formats).kept.formats
    names = {"weights": kept.weights, "products": kept.compute, "attention": kept.attention}
    if "experts" in ask.book.by_kind:
        names |= {"experts": kept.experts, "experts' products": kept.experts_compute}
    return names if ask.phase == "train" else {**names, "cache": kept.cache}


def _timed(t: Timed) -> Range:
    return range_of(t.interval)


def _share(s: Share) -> ShareRow:
    return ShareRow(name=s.name, ratio=s.ratio, done_per_s=s.done, could_per_s=s.could, counted=s.counted, note=s.note)


def _gathered(parts: tuple[Part, ...], depth: int | None) -> tuple[Part, ...]:
    """Parts below the same first steps of their paths as one."""
    if depth is None or any(p.kind == "step" for p in parts):
        return parts
    groups: dict[str, list[Part]] = {}
    for p in parts:
        groups.setdefault(".".join(p.path.split(".")[:depth]), []).append(p)
    return tuple(_sum(path, group) for path, group in groups.items())


def _sum(path: str, group: list[Part]) -> Part:
    """What binds the longest of a group stands for it; its MFU is that of the time, where one format computes."""
    longest, total = max(group, key=lambda p: p.seconds), sum(p.seconds for p in group)
    formats = {p.compute for p in group if p.mfu is not None}
    mfu = sum((p.mfu or 0.0) * p.seconds for p in group) / total if len(formats) == 1 and total else None
    sums = {n: sum(getattr(p, n) for p in group) for n in ("seconds", "flops", "weights", "cache", "other", "sent")}
    return Part(path, longest.kind, binds=longest.binds, compute=next(iter(formats), ""), mfu=mfu, **sums)


def _parts(parts: tuple[Part, ...]) -> list[PartRow]:
    whole = sum(p.seconds for p in parts) or 1.0
    return [
        PartRow(
            path=p.path, kind=p.kind, times=p.times, seconds=p.seconds, share=p.seconds / whole, hidden_s=p.hidden,
            binds=p.binds, mfu=p.mfu, compute=p.compute, flops=p.flops, weight_bytes=p.weights, cache_bytes=p.cache,
            other_bytes=p.other, sent_bytes=p.sent,
        )
        for p in parts
    ]  # fmt: skip


def _memory(found: Prediction) -> MemoryRow:
    r = found.room
    return MemoryRow(uses=r.uses, held=r.held, room=r.room, total=r.total, limit=r.most, limit_of=r.what)


def _money(ask: Ask, found: Prediction, price: float | None) -> MoneyRow:
    joules, how = _energy(ask, found)
    dollars, whose = _dollars(ask, found, price)
    return MoneyRow(
        watts_limit=ask.device.watts * ask.node.count or None, joules_per_million_tokens=joules, energy_basis=how,
        dollars_per_million_tokens=dollars, price_basis=whose,
    )  # fmt: skip


def _energy(ask: Ask, found: Prediction) -> tuple[Range | None, str]:
    """Joules of a million tokens at the step's shares of the engine and of the memory."""
    compute, memory, busy = drawing(found)
    known = energy(ask.device, found.step.seconds, compute, memory, busy=busy)
    if isinstance(known, Unknown):
        return None, known.why
    band = energy_interval(ask.device, found.step.seconds, compute, memory, busy=busy)
    steps = ask.node.count * 1e6 / (found.tokens_per_s * found.step.seconds)
    return (range_of(band * steps) if band else None), known.note


def _dollars(ask: Ask, found: Prediction, price: float | None) -> tuple[Range | None, str]:
    """Dollars of a million tokens at the price given, else at those on record."""
    if price is not None:
        each = price * ask.node.count / 3600 * 1e6 / found.tokens_per_s
        return Range(low=each, value=each, high=each), f"${price:g} a device-hour, as given"
    known = dollars_per_million(ask.node.chip, found.tokens_per_s, ask.node.count)
    return (None, known.why) if isinstance(known, Unknown) else (range_of(known), known.basis)


def _next(ask: Ask) -> str:
    name, on = ask.book.model.name, ask.node.name
    if ask.phase == "train":
        return f"flopsight count {name} --phase train --seq {ask.seq} -v"
    if not (ask.book.cache_per_token or ask.book.cache_fixed):
        return f"flopsight count {name}"
    return f"flopsight can {name} --on {on} --tokens-per-s 50 --context {ask.isl}"
