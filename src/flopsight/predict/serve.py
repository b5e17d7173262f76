"""A server that a fixed number of clients keep busy: time to first token, time per output token, tokens a second."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from flopsight.errors import UsageError
from flopsight.models.ledger import Ledger
from flopsight.parts.moe import Experts
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import Forward, forward
from flopsight.predict.kernels.roofline import coefficients
from flopsight.predict.queueing import Load, Pool, Steady, Tables, Terms, apart, steady
from flopsight.predict.shard import depth
from flopsight.predict.speculative import tokens_per_step
from flopsight.predict.step import Split
from flopsight.workload import Phase, Work, Workload

SHARES: Final = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)
TOGETHER: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
MOST_PIECES: Final = 64
TIGHT: Final = 0.97
"""Of the memory, what an engine is told to take at least where weights leave little room."""
UNMEASURED: Final = 0.25
"""Added to sigma, in quadrature, for a chip without published runs: an allowance, not measured."""
QUEUED: Final = 0.2
"""The same where more requests come than the cache holds."""
ACTIVATIONS: Final = 0.02
"""Of the memory, for activations and captured graphs, beside what grows with the chunk."""


@dataclass(frozen=True, slots=True)
class Requests:
    """What the clients ask.

    concurrency   requests in flight, all over the server
    isl, osl      prompt and answer tokens of a request, means
    prefix_hit    share of the prompt that lies in the cache already
    acceptance    of one draft token, for speculative decoding
    draft_tokens  drafts a step; 0 decodes one token a step
    alike         all requests have the same lengths, and start together
    """

    concurrency: float
    isl: float
    osl: float
    prefix_hit: float = 0.0
    acceptance: float | None = None
    draft_tokens: int = 0
    alike: bool = False

    def __post_init__(self) -> None:
        for name in ("concurrency", "isl", "osl"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 1e9:
                raise UsageError(f"{name} is a number of at least 1; got {value!r}.")
        if not 0 <= self.prefix_hit < 1:
            raise UsageError(f"prefix_hit is a share from 0 to below 1; got {self.prefix_hit!r}.")
        tokens_per_step(self.acceptance, self.draft_tokens)

    @property
    def fresh(self) -> float:
        """Prompt tokens that are computed."""
        return max(1.0, self.isl * (1 - self.prefix_hit))

    @property
    def yielded(self) -> float:
        """Tokens a decode step of one sequence yields."""
        return tokens_per_step(self.acceptance, self.draft_tokens)


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server does in the steady state; seconds and tokens a second.

    ttft, tpot   to the first token, and between two tokens of one request
    running      sequences that decode at one time, all over the server
    per_user     1 / tpot
    per_device, total   output tokens a second
    decode       a decode step by cause; launch and host of the step are in it
    prefill      other requests' prompts in a mean step, by cause
    sigma_tpot, sigma_ttft   standard deviation of log(measured / predicted)
    seats        most sequences the cache holds, all over the server
    wait, service   parts of ttft: waiting for a step, other prompts or a seat; the prompt's own steps
    queued       whether requests wait for a seat in the cache
    left_out     what was not counted
    """

    ttft: float
    tpot: float
    running: float
    per_user: float
    per_device: float
    total: float
    decode: Split
    prefill: Split
    wait: float
    service: float
    sigma_tpot: float
    sigma_ttft: float
    seats: float
    queued: bool
    left_out: tuple[str, ...] = ()


def serve(
    book: Ledger, device: Device, plan: Plan, formats: Formats, requests: Requests, engine: Engine, *,
    prefill: tuple[Plan, int] | None = None, workers: int = 1,
) -> Serving:  # fmt: skip
    """Predict a server.

    prefill   plan and number of a separate pool of prefill workers; `plan` is then that of each of the `workers` that
              decode (disaggregated serving)
    """
    made = forward(book, device, plan, formats)
    if prefill is not None:
        return _apart(book, device, formats, requests, engine, made, prefill, workers)
    found = steady(*(parts := scene(made, requests, engine)))
    load = parts[1]
    return _told(made, requests, engine, found, load, plan.devices, 1)


def scene(made: Forward, requests: Requests, engine: Engine) -> tuple[Tables, Load, Terms]:
    """What the queue needs to know of a model on its devices under an engine."""
    tables, load = kernel_tables(made, requests, engine)
    return tables, load, terms_of(made, requests, engine)


def terms_of(made: Forward, requests: Requests, engine: Engine) -> Terms:
    """What the engine adds, as arrays of one."""
    speed = engine.speed(made.device.family)
    layers = depth(made.book)
    step = engine.added(layers, 0, joined=joined(made.plan), routed=routed_layers(made.book))
    floor = layers * engine.eager + routed_layers(made.book) * engine.eager_routed
    return Terms(
        engine.kernels * speed, engine.prefills * speed, step, engine.per_sequence, floor,
        engine.request + engine.per_token * requests.isl, engine.lockstep if requests.alike else engine.burst,
        engine.polls,
    )  # fmt: skip


def joined(plan: Plan) -> bool:
    """Whether layers exchange data between devices."""
    return plan.tp > 1 or plan.expert_shards > 1


@lru_cache(256)
def routed_layers(book: Ledger) -> int:
    """Layers with routed experts."""
    return sum(one.times for one in book.leaves if isinstance(one.part, Experts) and one.stream == "text")


def kernel_tables(made: Forward, requests: Requests, engine: Engine) -> tuple[Tables, Load]:
    """Kernel seconds of decode steps by running batch and of prompts by how many ride together, as arrays of one."""
    import numpy as np

    plan, drafts = made.plan, requests.draft_tokens
    clients = max(1e-9, requests.concurrency / plan.dp)
    shares = np.array(SHARES)
    batch = np.maximum(1.0, shares * clients)
    past = requests.isl + requests.osl / 2
    decode = text_seconds(made, Work(batch, 1 + drafts, past, absorbed=True)) + drafts_seconds(made, requests)
    most = max(1.0, engine.chunk // max(1.0, requests.fresh))
    pieces = max(1.0, math.ceil(requests.fresh / engine.chunk))
    prompts = np.array([n for n in TOGETHER if n <= most] or [1.0])
    table = prompt_seconds(made, requests, engine, prompts, pieces, float(min(clients, batch[-1])))
    prompts_all, table = _padded(prompts, table)
    load = Load(
        np.array([clients]), np.array([max(1.0, requests.osl / requests.yielded)]), np.array([float(plan.dp)]),
        np.array([seats(made, requests, engine)]), np.array([pieces]), np.array([most]),
        np.array([float(engine.mixed)]),
    )  # fmt: skip
    return Tables(shares, np.asarray(decode, dtype=float)[None], prompts_all, table[None]), load


def text_seconds(made: Forward, work: Work) -> Any:
    """Kernel seconds of one pass without pictures or sounds; models with further streams are asked stream by stream."""
    if made.plain:
        return made.curve("text")(work.tokens) + made.curve("scored")(work.sequences) + made.core(work)
    phase: Phase = "decode" if work.absorbed else "prefill"
    return made.streamwise(Workload(phase, *(_whole(n) for n in (work.sequences, work.queries, work.past))))


def _whole(n: Any) -> Any:
    """A scalar as the whole number a workload asks for; arrays as they are."""
    return max(0, round(n)) if isinstance(n, int | float) else n


def drafts_seconds(made: Forward, requests: Requests) -> float:
    """Drafting itself: one further layer a draft token, its share of a decode step."""
    if not requests.draft_tokens:
        return 0.0
    one = float(text_seconds(made, Work(max(1.0, requests.concurrency / made.plan.dp), 1, requests.isl, absorbed=True)))
    return requests.draft_tokens * one / depth(made.book)


def prompt_seconds(made: Forward, requests: Requests, engine: Engine, prompts: Any, pieces: float, batch: float) -> Any:
    """Kernel seconds that so many whole prompts add to the steps that carry them."""
    import numpy as np

    hit = requests.isl - requests.fresh
    if pieces > 1:
        whole = _chunked(made, requests, engine, hit, pieces)
        return np.array([whole - (pieces * shared(made, batch, engine.chunk) if engine.mixed else 0.0)] * len(prompts))
    alone = np.asarray(text_seconds(made, Work(prompts, requests.fresh, hit)), dtype=float)
    return alone - (shared(made, batch, prompts * requests.fresh) if engine.mixed else 0.0)


def _chunked(made: Forward, requests: Requests, engine: Engine, hit: float, pieces: float) -> float:
    """One prompt in pieces, each behind those before it; many pieces are sampled."""
    import numpy as np

    count = int(min(pieces, MOST_PIECES))
    each = requests.fresh / count
    past = hit + each * np.arange(count)
    seconds = made.core(Work(np.ones(count), each, past)) + made.curve("scored")(1.0)
    text = pieces * made.curve("text")(requests.fresh / pieces)
    return float(np.sum(seconds)) + float(text)


def shared(made: Forward, batch: float, tokens: Any) -> Any:
    """Seconds saved because a step that decodes and prefills reads its weights once."""
    import numpy as np

    text = made.curve("text")
    saved = text(float(batch)) + text(tokens) - text(batch + tokens)
    return np.maximum(0.0, saved) if not isinstance(saved, float) else max(0.0, saved)


def _padded(prompts: Any, table: Any) -> tuple[Any, Any]:
    """The table over all counts, level beyond the most that one step carries (the step repeats)."""
    import numpy as np

    knots = np.array(TOGETHER)
    return knots, np.concatenate([table, np.full(len(knots) - len(table), table[-1])])


# ------------------------------------------------------------ memory


def cache_bytes(made: Forward, tokens: float) -> float:
    """Bytes of keys, values and states of one sequence of so many tokens, on one device of its replica."""
    total = 0.0
    for task, times in made._rest:
        if task.stream == "text":
            total += times * float(task.kernel.amounts(Work(1, 1, max(0.0, tokens - 1), absorbed=True)).cache)
    return total / made.plan.pp


def seats(made: Forward, requests: Requests, engine: Engine) -> float:
    """Most sequences one replica holds at half their answers; what the engine allows where memory is not known."""
    if not made.device.memory:
        return float(engine.sequences)
    each = cache_bytes(made, requests.isl + requests.osl / 2)
    free = max(made.device.memory * part - made.shard.weights for part in (engine.fraction - ACTIVATIONS, TIGHT))
    if free <= 0 or not each:
        return float(engine.sequences)
    return min(float(engine.sequences), max(1.0, free / each))


# ------------------------------------------------------------ the answer


def _told(
    made: Forward, requests: Requests, engine: Engine, found: Steady, load: Load, devices: int, workers: int,
    *, apart: bool = False,
) -> Serving:  # fmt: skip
    per_step = requests.yielded
    tpot, ttft = float(found.tpot[0]) / per_step, float(found.ttft[0])
    running = float(found.running[0]) * made.plan.dp * workers
    total = running / tpot
    room = float(load.seats[0]) * made.plan.dp * workers
    queued = requests.concurrency > room
    decode = _decode_split(made, requests, engine, float(found.running[0]))
    loaded = float(found.prefill[0])
    prompts = made.split(Workload("prefill", 1, max(1, round(requests.fresh)), round(requests.isl - requests.fresh)))
    sigma = sigmas(made, requests, engine, queued=queued, apart=apart)
    return Serving(
        ttft, tpot, running, 1 / tpot, total / devices, total, decode, prompts * (loaded / prompts.total),
        float(found.wait[0]), float(found.service[0]), *sigma, seats=room, queued=queued,
        left_out=_left_out(made, requests, queued),
    )  # fmt: skip


def _decode_split(made: Forward, requests: Requests, engine: Engine, running: float) -> Split:
    """A decode step by cause at the running batch; gaps between kernels are launch, the rest of the engine is host."""
    whole = max(1, round(running))
    split = made.split(Workload("decode", whole, 1, round(requests.isl + requests.osl / 2)))
    terms = terms_of(made, requests, engine)
    gaps = float(terms.step) - engine.host
    return split * float(terms.kernels) + Split(launch=gaps, host=engine.host + engine.per_sequence * running)


def _left_out(made: Forward, requests: Requests, queued: bool) -> tuple[str, ...]:
    notes = list(made.kept.notes) + list(made.device.notes) + list(made.shard.notes)
    if made.book.model.mtp is not None and not requests.draft_tokens:
        notes.append("The model can draft tokens by itself; one token a step is assumed.")
    if queued:
        notes.append("More requests than the cache holds: the rest wait, and TTFT is mostly that wait.")
    return tuple(notes)


def sigmas(
    made: Forward, requests: Requests, engine: Engine, *, queued: bool = False, apart: bool = False
) -> tuple[float, float]:
    """Standard deviation of log(measured / predicted) of TPOT and TTFT, from runs that were left out of the fit.

    Wider where a chip is not among those measured, where a model could draft by itself, and where requests queue.
    """
    first, second = (
        engine.spreads.get(name, wide) for name, wide in (("tpot", engine.spread), ("ttft", 2 * engine.spread))
    )
    if apart:
        first, second = (
            max(first, engine.spreads.get("apart_tpot", 0)),
            max(second, engine.spreads.get("apart_ttft", 0)),
        )
    more = [UNMEASURED] if made.device.id not in coefficients("engines").get("chips", ()) else []
    if made.book.model.mtp is not None and not requests.draft_tokens:
        first, second = (
            math.hypot(s, engine.spreads.get(f"drafts_{n}", 0)) for s, n in ((first, "tpot"), (second, "ttft"))
        )
    more += [QUEUED] if queued else []
    return math.hypot(first, *more), math.hypot(second, *more, *([1.0] if queued else []))


# ------------------------------------------------------------ prefill and decode apart


def _apart(
    book: Ledger, device: Device, formats: Formats, requests: Requests, engine: Engine, made: Forward,
    pool: tuple[Plan, int], workers: int,
) -> Serving:  # fmt: skip
    """Prefill and decode on pools of their own: no prompts in decode steps, prompts wait for one another."""
    tables, load, terms, count = apart_scene(book, device, formats, requests, engine, made, pool, workers)
    found = apart(tables, load, terms, count)
    devices = made.plan.devices * workers + pool[0].devices * pool[1]
    return _told(made, requests, engine, found, load, devices, workers, apart=True)


def apart_scene(
    book: Ledger, device: Device, formats: Formats, requests: Requests, engine: Engine, made: Forward,
    pool: tuple[Plan, int], workers: int,
) -> tuple[Tables, Load, Terms, Pool]:  # fmt: skip
    """What the queue needs to know of two pools; the prompts' table is that of the prefill workers."""
    import numpy as np

    plan, count = pool
    each = replace(requests, concurrency=max(1.0, requests.concurrency / workers))
    tables, load, terms = scene(made, each, engine)
    first = forward(book, device, plan, formats)
    alone = replace(engine, mixed=False)
    prompts, _ = kernel_tables(first, replace(requests, concurrency=max(1.0, requests.concurrency / count)), alone)
    sizes = Pool(
        np.array([float(count * plan.dp)]), np.array([requests.concurrency]), np.array([float(workers * made.plan.dp)])
    )
    terms = replace(terms, request=terms.request + engine.handover, burst=engine.gathered)
    return Tables(tables.running, tables.decode, prompts.prompts, prompts.prefill), load, terms, sizes
