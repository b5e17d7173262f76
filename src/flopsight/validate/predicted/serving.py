"""Published serving runs against predictions: closed loops, pools of prefill and decode, offline maxima."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from flopsight.errors import UsageError
from flopsight.facts import Unknown
from flopsight.hardware.catalog import find
from flopsight.models.ledger import Ledger, ledger
from flopsight.plan import Formats, Plan
from flopsight.predict.chosen import legal
from flopsight.predict.device import Device, device_of
from flopsight.predict.engines.catalog import engine as engine_of
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import forward
from flopsight.predict.kernels.roofline import coefficients
from flopsight.predict.serve import Requests, Serving, routed_layers, seats, serve
from flopsight.validate.predicted.bands import NINETY
from flopsight.validate.predicted.device import device_of_row
from flopsight.validate.recompute import Figure
from flopsight.validate.rows import Row
from flopsight.validate.shapes import model_of

DRAWN: Final = 0.9
"""Mean over nominal length where a client draws lengths evenly from 0.8 to 1.0 of it, as InferenceX's does."""
UNPRINTED: Final = 0.3
"""Added to sigma (in quadrature) where the row does not print the batch or the lengths: an allowance, not measured."""
NIGHTLY: Final = (0.6, 1.3)
"""The same for TPOT and TTFT of engine builds that were never released, which add seconds to a request: from the rows
of InferenceX's token-position runs themselves, so it says nothing new of them."""
OLD: Final = 0.35
"""The same for engines of 2023 and 2024, whose kernels were slower than those measured here."""
ASSUMED: Final = 256
"""Requests in flight where a closed-loop client does not print them: vLLM's default limit."""
OFFLINE: Final = 2048
"""Most sequences an engine is told to run offline."""
MOST: Final = 4096
"""Requests that an offline run is taken to have in flight at most, over all copies."""
NAMES: Final = {
    "": "bf16", "bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "fp8_block": "fp8", "nvfp4": "nvfp4", "fp4": "nvfp4",
    "int4_wo": "int4", "int4": "int4", "mxfp4": "mxfp4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Set:
    """A data set of MLPerf: mean prompt and answer tokens, and the limits on TTFT and TPOT by scenario, in seconds.

    mlcommons.org, notes of rounds v4.0 to v5.1: OpenOrca for Llama-2-70B, CNN-DailyMail for 8B, a long-context mix for
    405B, reasoning sets for R1.
    """

    isl: int
    osl: int
    server: float
    interactive: float


SETS: Final = {
    "llama-2-70b": Set(161, 294, 0.200, 0.040), "llama-3.1-405b": Set(9428, 684, 0.175, 0.080),
    "llama-3.1-8b": Set(778, 73, 0.100, 0.030), "deepseek-r1": Set(800, 3880, 0.080, 0.015),
    "mixtral-8x7b": Set(144, 145, 0.200, 0.040),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A row as the predictor is asked.

    prefill, workers   pools of their own, where prefill and decode are apart
    limit    seconds TPOT may take; the largest batch within it is sought
    fill     clients as many as the cache holds, for offline runs
    wide, wide_ttft   added to sigma in quadrature
    """

    row: Row
    book: Ledger
    device: Device
    plan: Plan
    formats: Formats
    engine: Engine
    requests: Requests
    prefill: tuple[Plan, int] | None = None
    workers: int = 1
    limit: float = 0.0
    fill: bool = False
    wide: float = 0.0
    wide_ttft: float = 0.0
    notes: tuple[str, ...] = ()


def predict(row: Row) -> tuple[Figure, ...] | None:
    """The row's quantities, main one first; None for rows of static batches."""
    if row.kind != "serving" or row.group.startswith(("fastertransformer", "aws-neuron")):
        return None
    found = case_of(row)
    if isinstance(found, Unknown):
        name, value = next(iter(printed(row)), ("", None))
        return (Figure(name, value, None, why=found.why),)
    return tuple(_figure(found, name, value, served(found)) for name, value in printed(row))


def case_of(row: Row) -> Case | Unknown:
    """What a row asks, by the table it comes from."""
    model, device = model_of(row), _device(row)
    for each in (model, device):
        if isinstance(each, Unknown):
            return each
    assert not isinstance(model, Unknown)
    assert not isinstance(device, Unknown)
    for start, reader in READERS.items():
        if row.group.startswith(start):
            return reader(row, ledger(model), device)
    return _closed(row, ledger(model), device)


def _device(row: Row) -> Device | Unknown:
    """The row's device; one that it does not name is taken for an H200, and said so."""
    found = device_of_row(row)
    if isinstance(found, Unknown) and not row.hardware.get("catalogue_id"):
        return replace(device_of(find("nvidia-h200-sxm-141gb")), notes=("The row names no device; H200 is taken.",))
    return found


# ------------------------------------------------------------ formats and layouts


def formats_of(book: Ledger, device: Device, gemm: str, moe: str, backend: str) -> Formats:
    """Formats of a run from the quantization it names.

    Checkpoints of routed models in 4 bits quantize the experts and keep attention in 16 bits (the exclude_modules of
    nvidia's NVFP4 checkpoints, Kimi-K2.5's and gpt-oss's own configs).
    """
    dense, experts = NAMES.get(gemm, gemm), NAMES.get(moe, moe)
    cache = "fp8" if dense in ("fp8", "nvfp4") and (backend == "trtllm" or device.has("fp4")) else ""
    if not routed_layers(book):
        return Formats(weights=dense, cache=cache)
    if "gpt-oss" in book.model.name.lower() or book.model.family == "gpt_oss":
        wide = "fp8" if device.has("fp4") else ""
        return Formats(weights="bf16", experts="mxfp4", experts_compute=wide, cache=cache)
    if dense in ("nvfp4", "int4"):
        dense = "bf16"
    return Formats(weights=dense, experts=experts, cache=cache)


def _formats(row: Row, book: Ledger, device: Device, backend: str) -> Formats:
    word = row.dtype.split(" ")[0].lower()
    word = "fp4" if "B200: fp4" in row.dtype and device.has("fp4") else word
    fallback = word if word in NAMES else "fp8" if "fp8" in row.dtype and device.has("fp8") else ""
    gemm = str(row.workload.get("gemm_quant") or fallback)
    if NAMES.get(gemm) == "nvfp4" and not device.has("fp4"):
        gemm = "fp8"
    return formats_of(book, device, gemm, str(row.workload.get("moe_quant") or gemm), backend)


def _backend(row: Row) -> str:
    text = f"{row.workload.get('backend') or ''} {row.workload.get('software') or ''} {row.group} {row.notes}".lower()
    for word, name in (("sglang", "sglang"), ("vllm", "vllm"), ("trt", "trtllm"), ("mlperf", "trtllm")):
        if word in text:
            return name
    return "vllm"


def laid(book: Ledger, tp: int, attention_dp: int, ep: int, etp: int = 0) -> Plan:
    """A plan of tp · attention_dp devices; experts over `ep` of them, each in as many pieces as are left."""
    devices = tp * attention_dp
    if not routed_layers(book):
        return Plan(tp=tp, dp=attention_dp)
    ep = ep if devices % max(1, ep) == 0 else devices
    return Plan(tp=tp, dp=attention_dp, ep=max(1, ep), etp=etp or devices // max(1, ep))


def _whole(table: Any, name: str) -> int:
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1


def _lengths(row: Row, ratio: float) -> tuple[float, float]:
    isl, osl = row.number(row.workload, "isl"), row.number(row.workload, "osl")
    if not isl or not osl:
        raise UsageError(f"The row {row.id[:60]} gives no isl and osl.")
    return max(1.0, isl * ratio), max(1.0, osl * ratio)


# ------------------------------------------------------------ tables


def _closed(row: Row, book: Ledger, device: Device) -> Case | Unknown:
    """A fixed number of clients, one plan."""
    clients = row.number(row.workload, "concurrency")
    if not clients:
        return _offline(row, book, device)
    backend = _backend(row)
    drawn = "/Users" not in str(row.source.get("upstream")) and row.group.startswith("aiconfigurator")
    isl, osl = _lengths(row, DRAWN if drawn else 1.0)
    plan = _layout(row, book, device)
    formats = _formats(row, book, device, backend)
    engine = _limits(row, engine_of(backend))
    if not drawn and row.group.startswith("aiconfigurator"):
        engine = replace(engine, request=engine.request + float(coefficients("engines").get("client", 0.0)))
    drafts = 1 if "MTP" in row.notes and row.group.startswith("inferencex-token-position") else 0
    requests = Requests(clients, isl, osl, acceptance=0.8 if drafts else None, draft_tokens=drafts, alike=not drawn)
    pool, workers = _pools(row, book)
    if pool is not None:
        plan = laid(book, *_ranks(row.parallelism.get("decode")))
    notes = ("One draft token of acceptance 0.8 is assumed.",) if drafts else ()
    wide = UNPRINTED if drafts or not row.hardware.get("catalogue_id") else 0.0
    nightly = NIGHTLY if any(word in row.notes for word in ("nightly", "commit")) else (0.0, 0.0)
    return Case(
        row, book, device, plan, formats, engine, requests, pool, workers, wide=math.hypot(wide, nightly[0]),
        wide_ttft=math.hypot(wide, nightly[1]), notes=notes,
    )  # fmt: skip


def _limits(row: Row, engine: Engine) -> Engine:
    """The limits of the scheduler that the row prints."""
    most, chunk = row.whole(row.workload, "max_num_seqs"), row.whole(row.workload, "max_num_batched_tokens")
    return replace(engine, sequences=most or engine.sequences, chunk=chunk or engine.chunk)


def _layout(row: Row, book: Ledger, device: Device) -> Plan:
    parallel = row.parallelism
    count = row.whole(row.hardware, "count") or 1
    layout = str(parallel.get("layout") or "")
    if layout.startswith("dep"):
        return laid(book, 1, count, count)
    if layout.startswith("tep"):
        return laid(book, count, 1, count)
    if layout.startswith("tp"):
        return laid(book, count, 1, 1)
    if "tp" in parallel:
        return laid(book, _whole(parallel, "tp"), _whole(parallel, "attention_dp"), _whole(parallel, "moe_ep"))
    return fitting(book, device, _formats(row, book, device, _backend(row)), count)


def _ranks(table: Any) -> tuple[int, int, int]:
    return _whole(table, "tp"), _whole(table, "attention_dp"), _whole(table, "ep")


def _pools(row: Row, book: Ledger) -> tuple[tuple[Plan, int] | None, int]:
    first, second = row.parallelism.get("prefill"), row.parallelism.get("decode")
    if not isinstance(first, dict) or not isinstance(second, dict):
        return None, 1
    return (laid(book, *_ranks(first)), _whole(first, "workers")), _whole(second, "workers")


def fitting(book: Ledger, device: Device, formats: Formats, count: int) -> Plan:
    """The fewest devices a copy that leave a third of the memory to the cache; copies side by side."""
    ways = [t for t in (1, 2, 4, 8, 16) if count % t == 0 and t <= count and legal(book, Plan(tp=t))]
    for tp in ways:
        if not device.memory or forward(book, device, Plan(tp=tp), formats).shard.weights < device.memory * 0.6:
            return Plan(tp=tp, dp=count // tp)
    return Plan(tp=ways[-1], dp=count // ways[-1])


def _offline(row: Row, book: Ledger, device: Device) -> Case | Unknown:
    """As many requests as the cache holds; the batch is printed or not."""
    backend = _backend(row)
    formats = _formats(row, book, device, backend)
    isl, osl = _lengths(row, 1.0)
    batch = row.number(row.workload, "batch")
    engine = replace(engine_of(backend), sequences=OFFLINE)
    plan = _layout(row, book, device)
    if not batch and routed_layers(book) and plan.tp > 1 and plan.tp == plan.devices:
        plan = laid(book, 1, plan.tp, plan.tp)
    client = "client" in row.workload and not batch
    requests = Requests(batch or (ASSUMED if client else 1), isl, osl)
    notes = () if batch else ("The batch is not printed; as many requests as the cache holds are taken.",)
    notes = (f"The requests in flight are not printed; {ASSUMED} are taken.",) if client else notes
    fill = not batch and not client
    wide = OLD if batch else UNPRINTED
    return Case(row, book, device, plan, formats, engine, requests, fill=fill, wide=wide, notes=notes)


def _mlperf(row: Row, book: Ledger, device: Device) -> Case | Unknown:
    """A data set's mean lengths; offline without a limit, else the largest batch within the limit of TPOT."""
    known = next((s for name, s in SETS.items() if str(row.model.get("name", "")).lower().startswith(name)), None)
    if known is None:
        return Unknown("the lengths of this MLPerf data set are not known")
    backend = _backend(row)
    formats = _formats(row, book, device, backend)
    plan = fitting(book, device, formats, row.whole(row.hardware, "count") or 1)
    scenario = str(row.workload.get("scenario") or "Offline").lower()
    limit = {"server": known.server, "interactive": known.interactive}.get(scenario, 0.0)
    notes = ("Lengths are the data set's means; layout and batch are not printed.",)
    return Case(
        row, book, device, plan, formats, replace(engine_of(backend), sequences=OFFLINE),
        Requests(1, known.isl, known.osl), limit=limit, fill=True, wide=UNPRINTED, notes=notes,
    )  # fmt: skip


def _trace(row: Row, book: Ledger, device: Device) -> Case | Unknown:
    """A trace of requests that arrive faster than they are served: as many run as the scheduler admits."""
    count = row.number(row.workload, "requests")
    tokens = row.number(row.measured, "input_tokens"), row.number(row.measured, "output_tokens")
    if not count or not tokens[0] or not tokens[1]:
        return Unknown("the trace's requests or tokens are not printed")
    engine = _limits(row, engine_of("vllm"))
    formats = _formats(row, book, device, "vllm")
    plan = Plan(tp=_whole(row.parallelism, "tp"), dp=_whole(row.parallelism, "dp"))
    notes = ("The trace is taken for a closed loop of requests of its mean lengths.",)
    return Case(row, book, device, plan, formats, engine, Requests(count, tokens[0] / count, tokens[1] / count),
                wide=UNPRINTED, notes=notes)  # fmt: skip


READERS: Final[dict[str, Callable[[Row, Ledger, Device], Case | Unknown]]] = {
    "mlperf": _mlperf,
    "llmservingsim": _trace,
}


# ------------------------------------------------------------ answers


def served(c: Case) -> Serving:
    """The prediction of a case."""
    requests = c.requests
    if c.fill:
        made = forward(c.book, c.device, c.plan, c.formats)
        room = min(max(1.0, seats(made, requests, c.engine)) * c.plan.dp, float(MOST))
        requests = replace(requests, concurrency=room)
    found = serve(c.book, c.device, c.plan, c.formats, requests, c.engine, prefill=c.prefill, workers=c.workers)
    return found if not c.limit else _within(c, requests, found)


def _within(c: Case, requests: Requests, found: Serving) -> Serving:
    """The largest batch whose tokens come within the limit."""
    while found.tpot > c.limit and requests.concurrency > c.plan.dp:
        requests = replace(requests, concurrency=max(1.0, requests.concurrency * 0.8))
        found = serve(c.book, c.device, c.plan, c.formats, requests, c.engine)
    return found


def _ours(name: str, c: Case, s: Serving) -> float:
    each = s.per_device
    known: dict[str, float] = {
        "tpot_ms": s.tpot * 1e3, "median_tpot_s": s.tpot, "tpot_median_ms": s.tpot * 1e3,
        "ttft_ms": s.ttft * 1e3, "median_ttft_s": s.ttft, "ttft_median_ms": s.ttft * 1e3,
        "output_tokens_per_s": s.total, "output_tokens_per_s_total": s.total, "tokens_per_s": s.total,
        "output_tokens_per_s_per_gpu": each, "output_tokens_per_s_as_printed": each,
        "output_tokens_per_s_per_chip": each,
    }  # fmt: skip
    return known[name]


MAIN: Final = (
    "tpot_ms", "median_tpot_s", "tpot_median_ms", "output_tokens_per_s", "output_tokens_per_s_total",
    "output_tokens_per_s_per_gpu", "output_tokens_per_s_as_printed", "output_tokens_per_s_per_chip", "tokens_per_s",
    "ttft_ms", "median_ttft_s", "ttft_median_ms",
)  # fmt: skip


def printed(row: Row) -> list[tuple[str, float]]:
    """What the row prints that a prediction can meet, main one first."""
    return [(name, value) for name in MAIN if (value := row.number(row.measured, name)) is not None]


def _figure(c: Case, name: str, published: float, s: Serving) -> Figure:
    ours = _ours(name, c, s)
    sigma = math.hypot(s.sigma_ttft, c.wide_ttft) if "ttft" in name else math.hypot(s.sigma_tpot, c.wide)
    width = math.exp(NINETY * sigma)
    counted = f"{c.engine.name} on {c.device.label}, {c.plan}, running batch {s.running:.0f}"
    notes = tuple(dict.fromkeys((*s.left_out, *c.notes)))
    return Figure(name, published, ours, counted=counted, notes=notes, low=ours / width, high=ours * width)
