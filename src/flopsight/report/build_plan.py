"""From a request to the answer of `plan`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil, exp
from typing import Any, Final

from flopsight.dtypes import dtype as number_format
from flopsight.errors import Impossible, UsageError
from flopsight.hardware.chip import Node
from flopsight.hardware.machine import node as find_node
from flopsight.models.asked import check
from flopsight.models.ledger import Ledger, ledger
from flopsight.models.load import load
from flopsight.plan import Formats, Plan
from flopsight.predict.corrections import own
from flopsight.predict.device import Device, device_of
from flopsight.predict.engines.catalog import engine as find_engine
from flopsight.predict.framework import framework as find_framework
from flopsight.predict.memory_train import Memory
from flopsight.predict.optimizer import optimizer as find_optimizer
from flopsight.predict.pipeline import chunks
from flopsight.predict.shard import depth
from flopsight.report import draw_time as look
from flopsight.report.can import Range
from flopsight.report.plan import (
    FrontRow,
    LaunchRow,
    LayoutRow,
    Lost,
    PlanResult,
    PlotPoint,
    ServingRow,
    TrainingRow,
)
from flopsight.search import serving, training
from flopsight.search.flags.catalog import SERVING, TRAINING
from flopsight.search.flags.launch import Launch, Served, Trained
from flopsight.search.layouts import TPOT, Tally, shape
from flopsight.search.pareto import front, thinned
from flopsight.search.rank import SURE, Gap, gap, in_order
from flopsight.search.serving import Candidate, Point
from flopsight.search.target import Target, chance, target
from flopsight.search.training import Run
from flopsight.workload import Workload

Progress = Callable[[int, int], None]
Z90: Final = 1.6449
SHOWN: Final = 8
FRONT: Final = 10
CLOSE: Final = 0.05
"""Two training layouts whose predicted rates differ by less are not told apart: an allowance, not measured."""
WORDS: Final = {
    "compute": "matrix products", "weights": "reading weights", "cache": "reading the cache",
    "other": "moving activations", "collective": "exchange between devices", "launch": "kernel starts and gaps",
    "host": "scheduler and host", "bubble": "waiting for other stages", "idle": "devices without work",
    "matrix": "matrix products", "attention": "attention", "vector": "norms and activations",
    "tp": "tensor-parallel exchange", "ep": "expert exchange", "cp": "context-parallel exchange",
    "p2p": "sends between stages", "dp": "data-parallel exchange", "optimizer": "the optimizer", "step host": "host",
}  # fmt: skip
SERVING_METHOD: Final = (
    "A fixed number of clients, each with one request in flight, in the steady state; the load of each layout is the "
    "highest that keeps what is promised.",
    "Layouts: copies x pipeline x tensor x attention replicas x expert parallelism, as far as heads, experts, fast "
    "links and the engine's options allow; of layouts within 1 % the one with fewer stages, then fewer devices a copy.",
)
TRAINING_METHOD: Final = (
    "Layouts: tensor x context x pipeline x expert parallelism, zero 1 or (without stages) 3, virtual stages, "
    "micro-batches of 1 to 16, and the least recompute that fits in 95 % of the memory; of layouts within 0.5 % the "
    "one with fewer stages, then the smaller tp.",
)
SERVING_LEFT_OUT: Final = (
    "separate pools for prefill and decode", "context parallelism", "drafts and prefix hits",
    "quality in fewer bits", "the spread of lengths around their means",
)  # fmt: skip
TRAINING_LEFT_OUT: Final = (
    "zero 0 and 2, which are no faster", "recompute of some layers only", "offloading", "stragglers and restarts",
    "host limits of data loading",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user said; None and "" were left out."""

    on: str
    isl: int | None = None
    osl: int | None = None
    slo: str = ""
    sure: float = 0.5
    concurrency: int | None = None
    engine: str = ""
    weights: str = ""
    kv: str = ""
    formats: str = ""
    train: bool = False
    global_batch: int | None = None
    seq: int | None = None
    dtype: str = "bf16"
    optimizer: str = "adam"
    files: tuple[str, ...] = ()


def build(model: str | Mapping[str, Any], wish: Wish, progress: Progress) -> PlanResult:
    """Everything `plan` says; UsageError for what means nothing, Impossible where nothing fits."""
    book, node = ledger(load(model)), find_node(wish.on, wish.files)
    if book.model.no_flops:
        raise UsageError(f"Nothing can be planned for {book.model.name}: {book.model.no_flops}.")
    _check(wish)
    return _training(book, node, wish, progress) if wish.train else _serving(book, node, wish, progress)


def _check(wish: Wish) -> None:
    """What belongs to the other kind of plan is refused, not ignored."""
    numbers = {"isl": wish.isl, "osl": wish.osl, "concurrency": wish.concurrency, "global_batch": wish.global_batch,
               "seq": wish.seq}  # fmt: skip
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**40):
            raise UsageError(f"{_option(name)} is a whole number of at least 1; got {value!r}.")
    other = ("isl", "osl", "concurrency", "slo", "weights", "kv", "formats") if wish.train else ("global_batch", "seq")
    given = [_option(name) for name in other if getattr(wish, name)]
    if given:
        kind = "a server; leave --train out" if wish.train else "training; add --train"
        raise UsageError(f"{', '.join(given)} belong{'s' * (len(given) == 1)} to a plan of {kind}.")
    needed = {"global_batch": wish.global_batch, "seq": wish.seq} if wish.train else {"isl": wish.isl, "osl": wish.osl}
    missing = [_option(name) for name, value in needed.items() if value is None]
    if missing:
        kind = "training run" if wish.train else "server"
        raise UsageError(f"A plan of a {kind} needs {' and '.join(missing)}.")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _range(value: float, sigma: float) -> Range:
    return Range(low=value * exp(-Z90 * sigma), value=value, high=value * exp(Z90 * sigma))


# ------------------------------------------------------------ serving


def _serving(book: Ledger, node: Node, wish: Wish, progress: Progress) -> PlanResult:
    ask, tally = asked(book, node, wish), Tally()
    found = serving.search(ask, tally, progress)
    if not found:
        raise Impossible(_nothing(book, node, tally, serving.remedies(ask)))
    kept = [one for one in found if one.best]
    if not kept:
        raise Impossible(_unkept(found, ask.target))
    points = _points(found, ask)
    rows = [_serving_row(one) for one in kept[:SHOWN]]
    ends = _front(points)
    return PlanResult(
        kind="serving", model=book.model.name, machine=node.name, label=node.chip.label, devices=node.count,
        software=ask.engine.name, asked=_asked(ask), seen=tally.seen, fit=len(found), refused=dict(tally.refused),
        serving=rows, training=[], lost=_serving_lost(kept, found, ask.target),
        front=[_front_row(*points[i], ask.target) for i in thinned(ends, _rates(points), FRONT)],
        plot=[_plotted(*pair, i in set(ends)) for i, pair in enumerate(points)],
        launch=_launches(ask, kept[0]), method=list(SERVING_METHOD), notes=_notes(ask, kept),
        left_out=list(SERVING_LEFT_OUT), next=_serving_next(ask, kept[0], node),
    )  # fmt: skip


def asked(book: Ledger, node: Node, wish: Wish) -> serving.Ask:
    """The request with everything filled in."""
    isl, osl = wish.isl or 1, wish.osl or 1
    check(book, Workload("decode", 1, 1, isl))
    if book.model.context and isl + osl > book.model.context:
        raise UsageError(
            f"{book.model.name} reads at most {book.model.context:,} tokens; isl {isl:,} and osl {osl:,} are more."
        )
    device = own(device_of(node.chip))
    engine = find_engine(wish.engine or "vllm")
    return serving.Ask(
        book, device, node.count, engine, formats_of(wish, device), isl, osl, target(wish.slo, wish.sure),
        wish.concurrency,
    )  # fmt: skip


def formats_of(wish: Wish, device: Device) -> tuple[Formats, ...]:
    """The formats asked for, or every one that the device makes sense of."""
    for name in (wish.weights, wish.kv):
        if name:
            number_format(name)
    base = Formats(weights=wish.weights, cache=wish.kv)
    if not wish.formats:
        return (base,)
    if wish.formats != "any":
        raise UsageError(f"--formats is any, or left out; got {wish.formats[:40]!r}.")
    stored = [wish.weights] if wish.weights else ["", "fp8", "nvfp4" if device.has("fp4") else "int4"]
    cached = [wish.kv] if wish.kv else ["", *(["fp8"] if device.has("fp8") else [])]
    return tuple(replace(base, weights=w, cache=c) for w in stored for c in cached)


def _asked(ask: serving.Ask) -> dict[str, float]:
    t = ask.target
    named = {"isl": ask.isl, "osl": ask.osl, "ttft": t.ttft, "tpot": t.tpot, "concurrency": ask.concurrency}
    return {"sure": t.sure} | {name: value for name, value in named.items() if value is not None}


def _points(found: Sequence[Candidate], ask: serving.Ask) -> list[tuple[Candidate, Point]]:
    """Every point that keeps TTFT and whose requests all have room in the cache, unless so many were asked for."""
    wanted = replace(ask.target, tpot=None)
    return [
        (one, p) for one in found for p in one.points
        if not p.misses(wanted) and (ask.concurrency is not None or p.concurrency <= one.room)
    ]  # fmt: skip


def _nothing(book: Ledger, node: Node, tally: Tally, remedies: Sequence[str]) -> str:
    why, times = tally.refused.most_common(1)[0] if tally.refused else ("none can be laid out", 0)
    told = f"No layout of {book.model.name} runs on {node.label}: {why} in {times} of {tally.seen} layouts."
    return told + (f" The smallest changes that make it fit: {' or '.join(remedies)}." if remedies else "")


def _unkept(found: Sequence[Candidate], wanted: Target) -> str:
    one, point = serving.closest(found, wanted)
    slack = wanted.slack(point.sigma_tpot), wanted.slack(point.sigma_ttft)
    reached = f"tpot={_ms(point.tpot * slack[0])},ttft={_ms(point.ttft * slack[1])}"
    sure = f" at {wanted.sure:.0%} sure" if wanted.sure != 0.5 else ""
    return (
        f"No layout keeps what is promised; the closest is {one.layout} with {point.concurrency:,.0f} in flight, which "
        f"can promise {reached}{sure}."
    )


def _ms(seconds: float) -> str:
    return f"{ceil(seconds * 1e4) / 10:g}ms"


def _serving_row(one: Candidate, point: Point | None = None) -> ServingRow:
    point = point or one.best or one.points[0]
    wanted, kept = one.ask.target, one.made.kept.formats
    return ServingRow(
        layout=_layout(one.layout.plan, str(one.layout), one.layout.copies, one.layout.idle), weights=kept.weights,
        kv=kept.cache, concurrency=point.concurrency, running=point.running, ttft=_range(point.ttft, point.sigma_ttft),
        tpot=_range(point.tpot, point.sigma_tpot), tokens_per_s=_range(point.total, point.sigma_tpot),
        tokens_per_s_per_device=point.per_device, tokens_per_s_per_user=point.per_user,
        chance_ttft=chance(wanted.ttft, point.ttft, point.sigma_ttft),
        chance_tpot=chance(wanted.tpot, point.tpot, point.sigma_tpot), bound=one.bound,
        weight_bytes=one.held.weights, room=one.room, causes={k: v for k, v in one.causes(point).items() if v},
    )  # fmt: skip


def _layout(plan: Plan, name: str, copies: int = 1, idle: int = 0, micro: int = 0) -> LayoutRow:
    return LayoutRow(
        name=name, tp=plan.tp, pp=plan.pp, dp=plan.dp, ep=plan.ep, etp=plan.expert_tp, copies=copies, idle=idle,
        cp=plan.cp, zero=plan.zero, hsdp=plan.hsdp, vp=plan.vp, recompute=plan.recompute, micro_batch=micro,
    )  # fmt: skip


def _serving_lost(kept: Sequence[Candidate], found: Sequence[Candidate], wanted: Target) -> Lost | None:
    best = kept[0]
    if best.best is None or len(found) == 1:
        return None
    if len(kept) == 1:
        return _broken([one for one in found if one is not best], wanted)
    second = kept[1]
    if second.best is None:
        return None
    return lost(gap(best.causes(best.best), second.causes(second.best)), _named(second), _named(best), served=True)


def _named(one: Candidate) -> str:
    """The layout, with formats where several were tried."""
    if len(one.ask.formats) == 1:
        return str(one.layout)
    kept = one.made.kept.formats
    return f"{one.layout} {kept.weights}/{kept.cache}"


def _broken(others: Sequence[Candidate], wanted: Target) -> Lost:
    """No other layout keeps what is promised: how near the nearest comes."""
    one, point = serving.closest(others, wanted)
    missed = point.misses(wanted)
    seconds, limit = (point.tpot, wanted.tpot) if missed == TPOT else (point.ttft, wanted.ttft)
    sentence = (
        f"No other layout keeps what is promised: {one.layout} comes closest, with "
        f"{'TPOT' if missed == TPOT else 'TTFT'} {_ms(seconds)} of {_ms(limit or 0.0)} even with "
        f"{point.concurrency:,.0f} in flight."
    )
    return Lost(
        layout=str(one.layout), slower=1.0, close=False, in_order=None, seconds=1 / point.per_device, seconds_best=0.0,
        more={}, less={}, sentence=sentence,
    )  # fmt: skip


def lost(found: Gap, second: str, best: str, *, served: bool) -> Lost:
    """A comparison in numbers and in a sentence."""
    share = in_order(found.slower) if served else None
    close = share < SURE if share is not None else abs(found.slower) < CLOSE
    return Lost(
        layout=second, slower=found.slower, close=close, seconds=found.seconds[1], seconds_best=found.seconds[0],
        more={name: b - a for name, a, b in found.larger}, less={name: a - b for name, a, b in found.smaller},
        sentence=_sentence(found, second, best) + _surely(share, close), in_order=share,
    )  # fmt: skip


def _surely(share: float | None, close: bool) -> str:
    """How far the order can be trusted."""
    if share is None:
        return " That is closer than predictions tell apart: measure both." if close else ""
    told = f" Of published pairs predicted this far apart {share:.0%} were measured in this order"
    return told + (": measure both." if close else ".")


def _sentence(found: Gap, second: str, best: str) -> str:
    first, other = found.seconds
    how = f"{found.slower:.1%} behind" if found.slower > 0 else "as fast"
    told = f"{second} is {how}: a token costs {look.time(other)} of device time, {best} {look.time(first)}."
    if found.larger:
        name, a, b = found.larger[0]
        told += f" It spends more on {WORDS.get(name, name)} ({look.time(b)} against {look.time(a)})"
        if found.smaller and found.smaller[0][1] - found.smaller[0][2] > 0.1 * abs(b - a):
            name, a, b = found.smaller[0]
            told += f" and less on {WORDS.get(name, name)} ({look.time(b)} against {look.time(a)})"
        told += "."
    return told


# ------------------------------------------------------------ the front


def _rates(points: Sequence[tuple[Candidate, Point]]) -> list[tuple[float, float]]:
    return [(p.per_user, p.per_device) for _, p in points]


def _front(points: Sequence[tuple[Candidate, Point]]) -> list[int]:
    return front(_rates(points))


def _front_row(one: Candidate, point: Point, wanted: Target) -> FrontRow:
    kept = one.made.kept.formats
    return FrontRow(
        layout=str(one.layout), tokens_per_s_per_user=point.per_user, tokens_per_s_per_device=point.per_device,
        concurrency=point.concurrency, ttft=point.ttft, memory_bytes=None, keeps=not point.misses(wanted),
        weights=kept.weights, kv=kept.cache,
    )  # fmt: skip


def _plotted(one: Candidate, point: Point, ahead: bool) -> PlotPoint:
    return PlotPoint(layout=str(one.layout), x=point.per_user, y=point.per_device, front=ahead)


# ------------------------------------------------------------ launching a server


def host_of(device: Device) -> int:
    """Devices of one host: eight, or four in racks whose links join more than a host (NVL72 trays)."""
    return 4 if device.domain >= 32 and device.kind == "gpu" else 8


def _launches(ask: serving.Ask, one: Candidate) -> list[LaunchRow]:
    """The engine that was planned for first."""
    served = served_of(ask, one)
    names = sorted(_running(ask.device, SERVING), key=lambda name: name != ask.engine.name)
    return [_launch(SERVING[name].launch(served), f"; --engine {name} plans for it") for name in names]


def _running(device: Device, programs: Iterable[str]) -> list[str]:
    """Programs that run on this kind of device: all here want GPUs, TensorRT-LLM those of NVIDIA."""
    if device.kind != "gpu":
        return []
    return [name for name in programs if name != "trtllm" or device.vendor.lower() == "nvidia"]


def served_of(ask: serving.Ask, one: Candidate) -> Served:
    """What a flag writer needs to know of a layout at its best load."""
    plan, best = one.layout.plan, one.best or one.points[0]
    each = ceil(best.concurrency / (one.layout.copies * plan.dp))
    return Served(
        ask.book.model.name, shape(ask.book).routed, ask.book.model.quantization is not None, plan, one.layout.copies,
        one.formats, ask.isl + ask.osl, max(1, each), min(ask.engine.chunk, 2**20), ask.engine.fraction,
        host_of(ask.device),
    )  # fmt: skip


def _launch(found: Launch, otherwise: str = "") -> LaunchRow:
    return LaunchRow(
        program=found.program, version=found.version, command=list(found.command), file=found.file, text=found.text,
        notes=list(found.notes), cannot=found.cannot and found.cannot + otherwise,
    )  # fmt: skip


def _notes(ask: serving.Ask, kept: Sequence[Candidate]) -> list[str]:
    one = kept[0]
    name = ask.book.model.name
    notes = [*ask.device.notes, *one.made.kept.notes, *one.made.shard.notes]
    notes.append(f"In the commands put your checkpoint for {name}, and your longest request for {ask.isl + ask.osl:,}.")
    if ask.target.ttft is None and ask.target.tpot is None:
        notes.append("Nothing was promised, so only throughput counts; --slo ttft=1s,tpot=30ms adds a promise.")
    elif ask.target.sure == 0.5:
        notes.append("At the limit a prediction is kept half the time; --sure 0.9 plans with room for its error.")
    notes += _untold(ask.device)
    if any(each.layout.plan.pp > 1 for each in kept[:SHOWN]):
        notes.append("No published run with pipeline stages in serving is at hand, so their rates are untested.")
    if ask.book.model.mtp is not None:
        notes.append("The model can draft tokens by itself; one token a step is assumed.")
    return notes


def _untold(device: Device) -> list[str]:
    return [] if device.kind == "gpu" else [f"No launch commands are written for {device.label}."]


def _serving_next(ask: serving.Ask, one: Candidate, node: Node) -> str:
    plan, best, kept = one.layout.plan, one.best or one.points[0], one.formats
    words = [f"flopsight predict {ask.book.model.name} --on {plan.devices}x{node.chip.id} --phase serve"]
    words += [f"--{n} {getattr(plan, n)}" for n in ("tp", "pp", "dp", "ep") if getattr(plan, n) > 1]
    words.append(f"--concurrency {max(1, round(best.concurrency / one.layout.copies))} --isl {ask.isl} --osl {ask.osl}")
    words += [f"--weights {kept.weights}"] if kept.weights else []
    words += [f"--kv {kept.cache}"] if kept.cache else []
    return " ".join([*words, f"--engine {ask.engine.name}"])


# ------------------------------------------------------------ training


def _training(book: Ledger, node: Node, wish: Wish, progress: Progress) -> PlanResult:
    ask, tally = asked_training(book, node, wish), Tally()
    found = training.search(ask, tally, progress)
    if not found:
        raise Impossible(_nothing(book, node, tally, training.remedies(ask)))
    kept = training.distinct(found)
    best = kept[0]
    return PlanResult(
        kind="training", model=book.model.name, machine=node.name, label=node.chip.label, devices=node.count,
        software=ask.soft.name, asked={"seq": ask.seq, "global_batch": ask.global_batch}, seen=tally.seen,
        fit=len(found), refused=dict(tally.refused), serving=[],
        training=[_training_row(ask, node, run) for run in kept[:SHOWN]],
        lost=lost(gap(best.causes(), kept[1].causes()), named(kept[1]), named(best), served=False)
        if len(kept) > 1 else None,
        front=[_memory_row(ask, run) for run in _lighter(found)], plot=[], launch=_train_launches(ask, best),
        method=list(TRAINING_METHOD), notes=[*best.step.notes, *_untold(ask.device)], left_out=list(TRAINING_LEFT_OUT),
        next=_training_next(ask, best, node),
    )  # fmt: skip


def _lighter(found: Sequence[Run]) -> list[Run]:
    """The fastest that hold no more, of those at least half as fast as the best; the fullest first."""
    half = 0.5 * max(run.step.tokens_per_second for run in found)
    points = [(1 / run.memory.total, run.step.tokens_per_second) for run in found]
    ends = [i for i in front(points) if points[i][1] >= half]
    return [found[i] for i in reversed(thinned(ends, points, FRONT))]


def asked_training(book: Ledger, node: Node, wish: Wish) -> training.TrainAsk:
    """The request with everything filled in."""
    if book.model.context and (wish.seq or 0) > book.model.context:
        raise UsageError(f"{book.model.name} reads at most {book.model.context:,} tokens; --seq is {wish.seq:,}.")
    if book.by_sample:
        raise UsageError(f"{book.model.name} has no sequence length to plan for.")
    number_format(wish.dtype)
    device = own(device_of(node.chip))
    device.rate(wish.dtype)
    soft = find_framework(wish.engine or ("maxtext" if device.kind == "tpu" else "megatron"))
    return training.TrainAsk(
        book, device, node.count, soft, Formats(compute=wish.dtype), wish.seq or 1, wish.global_batch or 1,
        find_optimizer(wish.optimizer).name,
    )  # fmt: skip


def named(run: Run) -> str:
    """The layout of a run in a few words."""
    plan = run.plan
    words = [str(plan)]
    if plan.hsdp > 1:
        words.append(f"hsdp{plan.hsdp}")
    return " ".join(words)


def _training_row(ask: training.TrainAsk, node: Node, run: Run) -> TrainingRow:
    found, held = run.step, run.memory
    required = float(ask.book.total(Workload("train", ask.global_batch, ask.seq, logits="all")).required)
    peak = ask.device.rate(ask.formats.compute) * node.count
    rate = found.tokens_per_second
    return TrainingRow(
        layout=_layout(run.plan, named(run), micro=run.micro_batch), seconds=_range(found.seconds, found.sigma),
        tokens_per_s=_range(rate, found.sigma), tokens_per_s_per_device=rate / node.count,
        mfu=required / found.seconds / peak if peak else None, micro_batches=found.micro_batches, bubble=found.bubble,
        memory_bytes=held.total, memory={f.name: float(getattr(held, f.name)) for f in fields(Memory)},
        causes={name: value for name, value in run.causes().items() if value},
    )  # fmt: skip


def _memory_row(ask: training.TrainAsk, run: Run) -> FrontRow:
    return FrontRow(
        layout=f"{named(run)}, recompute {run.plan.recompute}, micro-batch {run.micro_batch}",
        tokens_per_s_per_user=None, tokens_per_s_per_device=run.step.tokens_per_second / ask.count, concurrency=None,
        ttft=None, memory_bytes=run.memory.total, keeps=True,
    )  # fmt: skip


def _train_launches(ask: training.TrainAsk, run: Run) -> list[LaunchRow]:
    plan = run.plan
    trained = Trained(
        ask.book.model.name, shape(ask.book).routed, plan, ask.formats.compute, ask.seq, ask.global_batch,
        run.micro_batch, tuple(chunks(depth(ask.book), plan.pp * plan.vp)), host_of(ask.device),
    )  # fmt: skip
    names = sorted(_running(ask.device, TRAINING), key=lambda name: name != ask.soft.name)
    return [_launch(TRAINING[name].launch(trained)) for name in names]


def _training_next(ask: training.TrainAsk, run: Run, node: Node) -> str:
    plan = run.plan
    words = [f"flopsight predict {ask.book.model.name} --on {node.name} --phase train --seq {ask.seq}"]
    words.append(f"--global-batch {ask.global_batch} --micro-batch {run.micro_batch}")
    words += [
        f"--{n} {getattr(plan, n)}"
        for n in ("tp", "pp", "dp", "ep", "cp", "zero")
        if getattr(plan, n) > 1 or n == "zero"
    ]
    return " ".join([*words, f"--recompute {plan.recompute} --dtype {ask.formats.compute} --framework {ask.soft.name}"])
