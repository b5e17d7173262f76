"""Ask to answer: each phase's predictor, its parts and utilizations put into one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from typing import Final

from flopsight.errors import Impossible
from flopsight.plan import Formats, Plan
from flopsight.predict.chosen import training_layouts
from flopsight.predict.forward import Forward, forward
from flopsight.predict.generate import decode_pass, generate, prefill_pass
from flopsight.predict.memory_train import Memory, memory_train
from flopsight.predict.result import Ask, Part, Prediction, Room, Timed, byte_share, engine_of, flop_shares
from flopsight.predict.room import advice, room_of
from flopsight.predict.serve import Requests, serve
from flopsight.predict.step import Line
from flopsight.predict.tasks import Collective
from flopsight.predict.train import Batch, TrainStep, train_step
from flopsight.utilization import Share
from flopsight.workload import Workload

LEFT_OUT: Final = {
    "train": ("data loading, checkpoints, evaluation and restarts", "stragglers and clock drops of single devices"),
    "prefill": ("queueing and the network to the user",),
    "decode": ("queueing, prompts of other requests and the network to the user",),
    "serve": ("the network to the user", "bursts: a fixed number of clients each wait for an answer and ask again"),
}


def predict(ask: Ask) -> Prediction:
    """The prediction of a phase; Impossible where the memory does not hold it, with the smallest change that would."""
    phases: dict[str, Callable[[Ask], Prediction]] = {
        "train": _train, "prefill": _prefill, "decode": _decode, "serve": _serve,
    }  # fmt: skip
    return phases[ask.phase](ask)


def _ready(ask: Ask) -> tuple[Forward, Room]:
    run = forward(ask.book, ask.device, ask.plan, ask.formats)
    room = room_of(ask, run)
    if not room.fits and (ask.phase != "serve" or not room.most):
        raise Impossible(f"{_does_not_fit(ask, room)} {advice(ask, room)}")
    return run, room


def _does_not_fit(ask: Ask, room: Room) -> str:
    uses = ", ".join(f"{name} {size / 1e9:,.1f}" for name, size in room.uses.items())
    return (
        f"{ask.book.model.name} on {ask.node.label} ({ask.plan}) needs {room.held / 1e9:,.1f} GB a device ({uses}) and "
        f"there is room for {room.room / 1e9:,.1f} GB."
    )


# ------------------------------------------------------------ inference


def _prefill(ask: Ask) -> Prediction:
    run, room = _ready(ask)
    found = prefill_pass(ask.book, ask.device, ask.plan, ask.formats, ask.each, ask.isl, ask.engine)
    step, keeps = Timed(found.seconds, found.sigma), bool(ask.book.cache_per_token or ask.book.cache_fixed)
    load = Workload("prefill", ask.each, ask.isl)
    return Prediction(
        ask, step, ask.batch * ask.isl, ask.batch * ask.isl / found.seconds, found.split, 0.0,
        parts_of(run, found.lines), tuple(_flops(ask, run, load, found.seconds)), room, engine_of(run),
        ttft=Timed(found.seconds + ask.engine.request, found.sigma) if keeps else None, notes=_notes(run, found.notes),
        left_out=LEFT_OUT["prefill"],
    )  # fmt: skip


def _decode(ask: Ask) -> Prediction:
    run, room = _ready(ask)
    past = ask.isl + ask.osl // 2
    found = decode_pass(ask.book, ask.device, ask.plan, ask.formats, ask.each, past, ask.engine)
    load = Workload("decode", ask.each, 1, past)
    shares = [*_flops(ask, run, load, found.seconds), byte_share(run, ask.node, load, found.seconds)]
    first = Prediction(
        ask, Timed(found.seconds, found.sigma), ask.batch, ask.batch / found.seconds, found.split, 0.0,
        parts_of(run, found.lines), tuple(shares), room, engine_of(run), tpot=Timed(found.seconds, found.sigma),
        notes=_notes(run, found.notes), left_out=LEFT_OUT["decode"],
    )  # fmt: skip
    return first if ask.osl == 1 else _whole(ask, first)


def _whole(ask: Ask, step: Prediction) -> Prediction:
    """Prompt and answer of the batch around the step in the middle."""
    g = generate(ask.book, ask.device, ask.plan, ask.formats, ask.each, ask.isl, ask.osl, ask.engine)
    return replace(
        step, ttft=Timed(g.ttft, g.prefill.sigma), tpot=Timed(g.tpot, step.step.sigma), total=Timed(g.total, g.sigma)
    )


def _serve(ask: Ask) -> Prediction:
    run, room = _ready(ask)
    wanted = Requests(ask.concurrency, ask.isl, ask.osl, ask.prefix_hit, ask.acceptance, ask.draft_tokens)
    found = serve(ask.book, ask.device, ask.plan, ask.formats, wanted, ask.engine)
    split = found.decode * min(1.0 / wanted.yielded, found.tpot / found.decode.total)
    each = max(1, round(found.running / ask.plan.dp))
    load = Workload("decode", each, 1, ask.isl + ask.osl // 2)
    passed = decode_pass(ask.book, ask.device, ask.plan, ask.formats, each, ask.isl + ask.osl // 2, ask.engine)
    required, executed = _served(ask, found.total, wanted)
    shares = flop_shares(run, ask.node, required, executed, 1.0)
    shares.append(byte_share(run, ask.node, load, found.tpot))
    return Prediction(
        ask, Timed(found.tpot, found.sigma_tpot), found.total * found.tpot, found.total, split, 0.0,
        parts_of(run, passed.lines), tuple(shares), room, engine_of(run), Timed(found.ttft, found.sigma_ttft),
        Timed(found.tpot, found.sigma_tpot), running=found.running,
        extra={
            "seats": found.seats, "wait": found.wait, "queued": float(found.queued),
            "prompts": found.tpot - split.total,
        },
        notes=_notes(run, ()), left_out=(*LEFT_OUT["serve"], *found.left_out),
    )  # fmt: skip


def _served(ask: Ask, rate: float, wanted: Requests) -> tuple[float, float]:
    """Required and executed FLOPs a second of prompts and answers at `rate` output tokens a second.

    Prompt tokens that the cache holds are not computed; drafts that do not stand are executed and not required.
    """
    fresh = max(1, round(wanted.fresh))
    prompt = ask.book.total(Workload("prefill", 1, fresh, ask.isl - fresh))
    token = ask.book.total(Workload("decode", 1, 1, ask.isl + ask.osl // 2))
    tried = (1 + ask.draft_tokens) / wanted.yielded
    required = rate * (float(prompt.required) / ask.osl + float(token.required))
    return required, rate * (float(prompt.executed) / ask.osl + tried * float(token.executed))


def _flops(ask: Ask, run: Forward, load: Workload, seconds: float) -> list[Share]:
    """MFU and HFU of the batch over all devices."""
    cost = ask.book.total(replace(load, batch=ask.batch))
    return flop_shares(run, ask.node, float(cost.required), float(cost.executed), seconds)


def parts_of(run: Forward, lines: Iterable[Line]) -> tuple[Part, ...]:
    """Every task of a pass as a part, in the order of the model; its own seconds, before what an engine adds."""
    places = {task.path: i for i, task in enumerate(run.shard.tasks)}
    ordered = sorted(lines, key=lambda one: places.get(one.task.path, len(places)))
    return tuple(_part(run, one) for one in ordered)


def _part(run: Forward, one: Line) -> Part:
    a, compute = one.amounts, one.task.kernel.compute
    rate = run.device.rate(compute) if compute and run.device.peaks else 0.0
    used = float(a.flops) / (one.seconds * rate) if rate and a.flops and one.seconds else None
    sent = float(a.sent) if isinstance(one.task.kernel, Collective) else 0.0
    return Part(
        one.task.path, one.task.kind, one.seconds, one.binds, one.task.times, 0.0, float(a.flops), float(a.weights),
        float(a.cache), float(a.other), sent, compute, used,
    )  # fmt: skip


def _notes(run: Forward, more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*run.kept.notes, *run.device.notes, *run.shard.notes, *more)))


# ------------------------------------------------------------ training


def batch_of(ask: Ask) -> Batch:
    """What a training step trains on."""
    return Batch(ask.seq, ask.global_batch, ask.micro_batch)


def _train(ask: Ask) -> Prediction:
    batch = batch_of(ask)
    found = train_step(ask.book, ask.device, ask.plan, ask.formats, batch, ask.framework)
    run = forward(ask.book, ask.device, ask.plan, _formats(ask), training=True)
    room = training_room(ask, found)
    if not room.fits:
        raise Impossible(f"{_does_not_fit(ask, room)} {training_advice(ask, room)}")
    load = Workload("train", ask.global_batch, ask.seq, logits="all")
    cost = ask.book.total(load, ask.plan.recompute)
    shares = flop_shares(run, ask.node, float(cost.required), float(cost.executed), found.seconds)
    parts = tuple(Part(p.name, "step", p.seconds, "", hidden=p.hidden) for p in found.parts if p.seconds or p.hidden)
    return Prediction(
        ask, Timed(found.seconds, found.sigma), found.tokens, found.tokens_per_second, found.split, found.hidden, parts,
        tuple(shares), room, engine_of(run), extra={"micro_batches": found.micro_batches, "bubble": found.bubble},
        notes=tuple(dict.fromkeys(found.notes)), left_out=LEFT_OUT["train"],
    )  # fmt: skip


def _formats(ask: Ask) -> Formats:
    return ask.formats if ask.formats.weights else replace(ask.formats, weights="bf16")


def training_room(ask: Ask, found: TrainStep | None = None) -> Room:
    """Bytes of a device in training, and the largest micro-batch that fits."""
    memory = found.memory if found else _memory(ask)
    uses = {f.name: float(getattr(memory, f.name)) for f in fields(memory)}
    total, most = ask.device.memory, 0
    for micro in (2**i for i in range(13)):
        if total and _memory(_with_micro(ask, micro)).total > total:
            break
        most = micro
    return Room(uses, total, total, most, "micro-batch")


def _with_micro(ask: Ask, micro: int) -> Ask:
    passes = max(1, ask.global_batch // (ask.plan.dp * ask.micro_batch))
    return replace(ask, micro_batch=micro, global_batch=micro * ask.plan.dp * passes)


def _memory(ask: Ask) -> Memory:
    run = forward(ask.book, ask.device, ask.plan, _formats(ask), training=True)
    return memory_train(run, batch_of(ask))


def training_advice(ask: Ask, room: Room) -> str:
    """A sentence on the smallest change that makes a training step fit."""
    if room.most:
        return f"The largest that fits is --micro-batch {room.most}."
    for told, changed in _training_changes(ask):
        if _memory(changed).total <= ask.device.memory:
            return f"It fits with {told}."
    return _enough(ask)


def _enough(ask: Ask) -> str:
    """How many devices hold it with everything sharded and recomputed, as wide and deep as now or not at all."""
    for tp, pp in dict.fromkeys(((1, 1), (ask.plan.tp, 1), (ask.plan.tp, ask.plan.pp))):
        for count in (2**i for i in range(1, 19)):
            dp = count // (tp * pp)
            if count <= ask.plan.devices or count % (tp * pp):
                continue
            plan = Plan(tp=tp, pp=pp, dp=dp, zero=3, recompute="full", sequence_parallel=tp > 1)
            asked = replace(ask, plan=plan, micro_batch=1, global_batch=dp * max(1, pp))
            if _memory(asked).total <= ask.device.memory:
                told = "".join(f" --{n} {v}" for n, v in (("tp", tp), ("pp", pp)) if v > 1)
                return f"On {count} devices it fits with{told} --zero 3 --recompute full."
    return "No layout that was tried holds it on any number of these devices."


def _training_changes(ask: Ask) -> Iterator[tuple[str, Ask]]:
    plan = ask.plan
    for zero in range(plan.zero + 1, 4):
        if plan.dp > 1:
            yield f"--zero {zero}", replace(ask, plan=plan.with_(zero=zero))
    for how in ("selective", "full"):
        if plan.recompute != how:
            yield f"--recompute {how}", replace(ask, plan=plan.with_(recompute=how))
    if plan.dp > 1:
        yield "--zero 3 --recompute full", replace(ask, plan=plan.with_(zero=3, recompute="full"))
    for tp, pp in training_layouts(ask.book, plan.devices, ask.device.domain):
        if tp * pp > plan.tp * plan.pp:
            changed = plan.with_(tp=tp, pp=pp, dp=plan.devices // (tp * pp * plan.cp), sequence_parallel=tp > 1)
            if plan.devices % (tp * pp * plan.cp) == 0:
                named = " ".join(f"--{n} {v}" for n, v in (("tp", tp), ("pp", pp)) if v > 1)
                yield named, _with_micro(replace(ask, plan=changed), ask.micro_batch)
