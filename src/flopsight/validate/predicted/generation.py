"""Rows of one static batch: prefill, decode and whole generations, read into what a prediction needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from flopsight.errors import UsageError
from flopsight.facts import Unknown
from flopsight.models.ledger import Ledger, ledger
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device
from flopsight.predict.engines.catalog import engine as engine_of
from flopsight.predict.engines.engine import Engine
from flopsight.predict.engines.generation import UNBOUNDED
from flopsight.predict.forward import Forward, forward
from flopsight.predict.generate import decode_pass, generate, prefill_pass
from flopsight.predict.kernels.collective import collective_seconds
from flopsight.predict.kernels.gemm import gemm_seconds
from flopsight.predict.shard import depth
from flopsight.validate.predicted.bands import NINETY
from flopsight.validate.predicted.device import device_of_row, instance_of, scaled
from flopsight.validate.recompute import Figure
from flopsight.validate.rows import Row
from flopsight.validate.shapes import model_of

UNPRINTED: Final = 0.5
"""Standard deviation of log(measured / predicted) allowed where a row prints neither batch nor lengths nor load."""
FEW: Final = 8
"""Prompt tokens where a row says "a few"."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row as the predictor is asked.

    what      decode (one step), prefill, generation
    extra     seconds a step beside the kernels, of layouts the plan has no word for
    notes     what was assumed
    """

    row: Row
    what: str
    book: Ledger
    device: Device
    plan: Plan
    formats: Formats
    engine: Engine
    batch: int
    isl: int
    osl: int
    extra: float = 0.0
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of a case: the whole, its first token, one decode step, and how sure they are."""

    ttft: float
    tpot: float
    total: float
    sigma: float


def predict(row: Row) -> tuple[Figure, ...] | None:
    """The row's quantities, main one first."""
    found = case_of(row)
    if found is None:
        return None
    if isinstance(found, Unknown):
        return (Figure(*_main(row), None, why=found.why),)
    times = times_of(found)
    return tuple(_figure(found, name, published, times) for name, published in _printed(row))


# ------------------------------------------------------------ which quantity


def _seconds(name: str, t: Times, c: Case) -> float:
    """The quantity of a row from the seconds of its case."""
    step = t.tpot or t.ttft
    known: dict[str, Callable[[], float]] = {
        "tokens_per_s": lambda: c.batch / t.tpot if c.what == "decode" else c.batch * c.isl / t.ttft,
        "first_token_latency_ms": lambda: t.ttft * 1e3,
        "prefill_latency_ms": lambda: t.ttft * 1e3,
        "decode_ms_per_token": lambda: t.tpot * 1e3,
        "total_latency_ms": lambda: t.total * 1e3,
        "end_to_end_latency_ms": lambda: t.total * 1e3,
        "ms_per_token_throughput": lambda: step * 1e3 / (c.batch * c.plan.dp),
        "latency_s": lambda: t.total if c.what == "decode" else t.ttft,
        "latency_ms_per_token": lambda: t.tpot * 1e3,
        "tpot_p50_ms": lambda: t.tpot * 1e3,
        "ttft_p50_ms": lambda: t.ttft * 1e3,
        "tpot_ms": lambda: t.tpot * 1e3,
        "output_tokens_per_s": lambda: c.batch * c.osl / t.total,
        "input_tokens_per_s_per_node": lambda: 8 * c.batch * c.isl / t.ttft / (1 - _hits(c.row)),
    }
    return known[name]()


ORDER: Final = (
    "tpot_p50_ms", "tpot_ms", "decode_ms_per_token", "tokens_per_s", "first_token_latency_ms", "prefill_latency_ms",
    "end_to_end_latency_ms", "ms_per_token_throughput", "latency_s", "latency_ms_per_token", "ttft_p50_ms",
    "total_latency_ms", "output_tokens_per_s", "input_tokens_per_s_per_node",
)  # fmt: skip
RATES: Final = ("tokens_per_s", "output_tokens_per_s", "input_tokens_per_s_per_node")


def _printed(row: Row) -> list[tuple[str, float]]:
    """What the row prints that a prediction can meet, main one first."""
    return [(name, value) for name in ORDER if (value := row.number(row.measured, name)) is not None]


def _main(row: Row) -> tuple[str, float | None]:
    found = _printed(row)
    return found[0] if found else ("", None)


def _hits(row: Row) -> float:
    return row.number(row.measured, "cache_hit_fraction") or 0.0


def _figure(c: Case, name: str, published: float, t: Times) -> Figure:
    ours = _seconds(name, t, c)
    width = math.exp(NINETY * t.sigma)
    counted = f"{c.engine.name} on {c.device.label}, {c.plan}"
    return Figure(
        name, published, ours, counted=counted, notes=(*c.device.notes, *c.notes), low=ours / width, high=ours * width
    )


# ------------------------------------------------------------ seconds


def times_of(c: Case) -> Times:
    """Prefill, decode or both."""
    if c.what == "prefill":
        first = prefill_pass(c.book, c.device, c.plan, c.formats, c.batch, c.isl, c.engine)
        seconds = first.seconds + c.engine.request + c.extra
        return Times(seconds, 0.0, seconds, first.sigma)
    if c.what == "decode":
        return _decoded(c)
    g = generate(c.book, c.device, c.plan, c.formats, c.batch, c.isl, c.osl, c.engine)
    tpot = g.tpot + c.extra
    return Times(g.ttft + c.extra, tpot, g.ttft + c.extra + (c.osl - 1) * tpot, g.sigma)


def _decoded(c: Case) -> Times:
    """A mean decode step, and all of them."""
    if c.osl == 1:
        step = decode_pass(c.book, c.device, c.plan, c.formats, c.batch, c.isl, c.engine)
        return Times(0.0, step.seconds + c.extra, step.seconds + c.extra, step.sigma)
    g = generate(c.book, c.device, c.plan, c.formats, c.batch, c.isl, c.osl, c.engine)
    assert g.decode is not None
    tpot = g.tpot + c.extra
    return Times(g.ttft, tpot, c.osl * tpot, g.decode.sigma)


# ------------------------------------------------------------ which row


def case_of(row: Row) -> Case | Unknown | None:
    """The row as a case; None where it is of no group that is read here."""
    for start, read in READERS.items():
        if row.group.startswith(start):
            model = model_of(_with_vocabulary(row))
            return model if isinstance(model, Unknown) else read(row, ledger(model))
    return None


def _with_vocabulary(row: Row) -> Row:
    """Megatron's test model has a vocabulary that its file of arguments does not print; 100,352 stands for it."""
    named = row.model.get("vocab") or not row.group.startswith("megatron-ci")
    return row if named else replace(row, model={**row.model, "vocab": 100_352})


def _whole(row: Row, name: str, default: int = 1) -> int:
    value = row.workload.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return max(1, round(value))


def _plan(row: Row, **more: Any) -> Plan:
    ways = row.parallelism
    return Plan(tp=int(ways.get("tp") or 1), pp=int(ways.get("pp") or 1), **more)


def _made(
    row: Row, what: str, book: Ledger, plan: Plan, formats: Formats, name: str | Engine, **more: Any
) -> Case | Unknown:
    device = more.pop("device", None) or device_of_row(row)
    if isinstance(device, Unknown):
        return device
    osl = more.pop("osl", _whole(row, "osl"))
    isl = more.pop("isl", _whole(row, "isl", FEW))
    base = engine_of(name) if isinstance(name, str) else name
    return Case(row, what, book, device, plan, formats, base, more.pop("batch", _whole(row, "batch")), isl, osl, **more)


def _llamacpp(row: Row, book: Ledger) -> Case | Unknown:
    """llama.cpp: layers lie on one GPU after another; prompts go through them in steps of 512, one behind the other."""
    split = int(row.parallelism.get("layer_split") or 1)
    sixteen = row.dtype.upper() == "F16"
    formats = Formats() if sixteen else Formats(weights="q4_k", head="q6_k")
    what = "prefill" if row.kind == "prefill" else "decode"
    return _made(row, what, book, Plan(pp=split), formats, "llamacpp", isl=_whole(row, "isl", 1))


def _gpt_fast(row: Row, book: Ledger) -> Case | Unknown:
    """torch.compile with captured graphs; the head is quantized like the rest and whole on every device."""
    formats = {"int8": Formats(weights="int8", head="int8", compute="bf16"), "int4 g32": _INT4}.get(
        row.dtype, Formats()
    )
    plan, device = _plan(row), device_of_row(row)
    if isinstance(device, Unknown):
        return device
    return _made(
        row, "decode", book, plan, formats, "compile", device=device, extra=_whole_head(book, device, plan, formats)
    )


_INT4: Final = Formats(weights="q4_1", head="q4_1")
"""Groups of 32 four-bit weights with a 16-bit scale and zero: 5 bits each, as q4_1."""


def _whole_head(book: Ledger, device: Device, plan: Plan, formats: Formats) -> float:
    """What a head that is not split costs beyond its share."""
    run = forward(book, device, plan, formats)
    for one in book.leaves:
        if one.part.kind == "lm_head" and plan.tp > 1:
            n, k = one.part.outputs, one.part.inputs  # type: ignore[attr-defined]
            bits = run.kept.stored(one)
            cost = [gemm_seconds(device, 1, width, k, compute="bf16", weight_bits=bits) for width in (n, n // plan.tp)]
            return float(cost[0] - cost[1])
    return 0.0


def _bloom(row: Row, book: Ledger) -> Case | Unknown:
    """accelerate: layers on one GPU after another; ds-inference: tensor parallel; ds-zero: weights gathered a step."""
    backend, device = row.parallelism.get("backend"), device_of_row(row)
    if isinstance(device, Unknown):
        return device
    if backend == "accelerate":
        return _made(row, "decode", book, Plan(pp=_count(row)), Formats(), "eager")
    if backend == "ds-zero":
        gathered = _gathered(book, device, _count(row))
        return _made(row, "decode", book, Plan(dp=_count(row), zero=3), Formats(), "eager", extra=gathered)
    formats = Formats(weights="int8", compute="fp16") if row.dtype == "int8" else Formats()
    return _made(row, "decode", book, _plan(row), formats, "deepspeed")


def _gathered(book: Ledger, device: Device, ranks: int) -> float:
    """All parameters in 16 bits gathered from the other ranks, layer by layer."""
    layers = depth(book)
    return layers * float(collective_seconds(device, "all_gather", 2.0 * book.params / layers, ranks))


def _count(row: Row) -> int:
    return int(row.number(row.hardware, "count") or 1)


def _trtllm(row: Row, book: Ledger) -> Case | Unknown:
    formats = Formats(weights="fp8", cache="fp8") if row.dtype == "fp8" else Formats()
    return _made(row, "prefill", book, _plan(row), formats, "trtllm2023")


def _pope(row: Row, book: Ledger) -> Case | Unknown:
    """Layouts of Pope et al. 2022 (section 3.2 to 3.3) made of what the plan has.

    WS 2D: tensor parallelism whose exchanges are 4 / sqrt(n) of the one-dimensional ones, and half again because
    attention and feed-forward share one; attention "batch": caches split over the batch. WG: data parallelism with
    weights gathered behind the products.
    """
    chips, device = _count(row), device_of_row(row)
    if isinstance(device, Unknown):
        return device
    padded = _padded(row) if "padded" in str(row.model.get("name")) else book
    if isinstance(padded, Unknown):
        return padded
    formats = Formats(weights="int8", compute="bf16") if row.dtype.startswith("int8") else Formats()
    what = "prefill" if row.kind == "prefill" else "decode"
    past = 1984 if what == "decode" else _whole(row, "isl")
    if str(row.parallelism.get("ffn_layout")).startswith("WG"):
        batch = max(1, _whole(row, "batch") // chips)
        found = _made(row, what, padded, Plan(dp=chips, zero=3), formats, "jax", device=device, isl=past, batch=batch)
        return _behind(found, _gathered(padded, device, chips)) if isinstance(found, Case) else found
    found = _made(row, what, padded, Plan(tp=chips), formats, "jax", device=device, isl=past)
    return _two_dimensional(found, chips) if isinstance(found, Case) else found


def _behind(c: Case, gathered: float) -> Case:
    """Gathering sticks out where it takes longer than the pass."""
    seconds = prefill_pass(c.book, c.device, c.plan, c.formats, c.batch, c.isl, c.engine).seconds
    return replace(c, extra=max(0.0, gathered - seconds))


def _two_dimensional(c: Case, chips: int) -> Case:
    """Less exchange, and caches split over the batch, than one-dimensional tensor parallelism has."""
    asked = prefill_pass if c.what == "prefill" else decode_pass
    split = asked(c.book, c.device, c.plan, c.formats, c.batch, c.isl, c.engine).split
    less = split.collective * (1 - 0.5 * min(1.0, 4 / math.sqrt(chips)))
    if c.row.parallelism.get("attention_layout") == "batch":
        less += split.cache * (1 - 1 / min(chips, c.batch))
    note = "One-dimensional tensor parallelism, corrected for the source's two-dimensional layout."
    return replace(c, extra=-less, notes=(note,))


def _padded(row: Row) -> Ledger | Unknown:
    """The model with 64 heads, as the source ran it."""
    model = model_of(replace(row, model={**row.model, "heads": 64, "name": "PaLM with 64 heads"}))
    return model if isinstance(model, Unknown) else ledger(model)


def _kipply(row: Row, book: Ledger) -> Case | Unknown:
    return _made(
        row, "prefill" if row.kind == "prefill" else "decode", book, _plan(row), Formats(), "fastertransformer"
    )


def _megatron_ci(row: Row, book: Ledger) -> Case | Unknown:
    note = "Without graphs and with experts launched one by one: the host binds, and the device hardly counts."
    return _made(row, "decode", book, Plan(), Formats(), "eager", notes=(note,))


def _day6(row: Row, book: Ledger) -> Case | Unknown:
    """DeepSeek's prefill: 32 GPUs share the experts, and two half batches hide each other's exchanges."""
    plan = Plan(dp=32, ep=32)
    formats = Formats(weights="fp8", experts="fp8")
    engine = replace(engine_of("none"), spread=UNPRINTED)
    found = _made(row, "prefill", book, plan, formats, engine, batch=4, isl=4096, osl=1)
    if isinstance(found, Unknown):
        return found
    split = prefill_pass(found.book, found.device, plan, formats, 4, 4096, found.engine).split
    note = (
        "Batch, length and load over the day are not printed: 4 prompts of 4,096 tokens a GPU without a pause taken,"
        " exchanges hidden."
    )
    return replace(found, extra=-min(split.collective, split.total - split.collective), notes=(note,))


def _fastertransformer(row: Row, book: Ledger) -> Case | Unknown:
    name = "megatron2021" if str(row.workload.get("backend")).startswith("Megatron") else "fastertransformer"
    plan = _plan(row)
    base = engine_of(name)
    return _made(row, "generation", book, plan, Formats(), replace(base, chunk=2048 if plan.pp > 1 else UNBOUNDED))


def _neuron(row: Row, book: Ledger) -> Case | Unknown:
    """Chips of one machine as equal devices whose number divides the heads."""
    found = instance_of(row)
    if found is None:
        return Unknown(f"nothing is known of {row.hardware.get('key')!r}")
    chip, count = found
    ways = next(t for t in range(count, 0, -1) if _divides(book, t))
    device = scaled(chip, count / ways, f"{count} x {chip.label} as {ways}")
    stored = "int8" if "weights int8" in row.dtype else "bf16"
    formats = Formats(weights=stored, compute="bf16")
    return _made(row, "generation", book, Plan(tp=ways), formats, "neuron", device=device)


def _divides(book: Ledger, ways: int) -> bool:
    from flopsight.predict.shard import check

    try:
        check(book, Plan(tp=ways))
    except UsageError:
        return False
    return True


READERS: Final[dict[str, Callable[[Row, Ledger], Case | Unknown]]] = {
    "llamacpp": _llamacpp, "gpt-fast": _gpt_fast, "bloom-inference": _bloom, "trtllm-v0.5": _trtllm, "pope": _pope,
    "kipply": _kipply, "megatron-ci": _megatron_ci, "deepseek-infra": _day6, "fastertransformer": _fastertransformer,
    "aws-neuron": _neuron,
}  # fmt: skip


def run_of(c: Case) -> Forward:
    """The forward pass behind a case."""
    return forward(c.book, c.device, c.plan, c.formats)
