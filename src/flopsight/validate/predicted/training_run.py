"""What a row says of a training run: model, devices, layout, batch and software, and what had to be chosen for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd
from typing import Final, Literal

from flopsight.errors import FlopsightError, UsageError
from flopsight.facts import Unknown
from flopsight.hardware.catalog import find
from flopsight.models.ledger import Ledger, ledger
from flopsight.models.tree import Model
from flopsight.parts.attention import AttentionCore
from flopsight.parts.mla import LatentCore
from flopsight.parts.moe import Experts
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device, device_of
from flopsight.predict.forward import forward
from flopsight.predict.framework import PRIORS, Framework, framework
from flopsight.predict.memory_train import memory_train
from flopsight.predict.shard import depth
from flopsight.predict.train import Batch, step
from flopsight.validate.predicted.device import device_of_row
from flopsight.validate.rows import Row
from flopsight.validate.shapes import model_of, with_further_tokens

Recompute = Literal["none", "selective", "full"]

SOFTWARE: Final = (
    (r"llmfoundry", "llm-foundry"), (r"torchtitan.*", "torchtitan"), (r"maxtext|tpu-recipes|levanter", "maxtext"),
    (r"deepspeed", "deepspeed"), (r"aws-trn|neuron", "neuron"), (r"megascale", "megascale"),
    (r"dgxc|megatron-bridge/25.0", "megatron-2025"),
    (r"megatron-bridge|nemo|megatron-core|megatron-examples|llama3-table", "megatron"),
    (r"megatron|korthikanti|mt-nlg|palm-table3", "megatron-2021"),
)  # fmt: skip
CONTEXT: Final = 4_000_000
"""Tokens a step where a row prints none: the usual batch of large pretraining runs."""
FULL: Final = 0.97
"""Share of a device's memory that a run may fill before a layout is taken not to fit."""
WIDTHS: Final = (
    (r"nvfp4|mxfp4|fp4", "fp4"), (r"fp8|float8", "fp8"), (r"int8", "int8"),
)  # fmt: skip
INTERLEAVED: Final = r"megatron-core|llama3-table"
GPUS_TRIED: Final = (1, 2, 4, 8)
STAGES_TRIED: Final = (1, 2, 4, 8, 16)
MICRO_TRIED: Final = (1, 2, 4, 8)
CHUNKS_TRIED: Final = (4, 2)


@dataclass(frozen=True, slots=True)
class Run:
    """A row as a run that can be predicted.

    chosen   what the row leaves open and was chosen here, in words
    doubt    standard deviation that the choices add to log(measured / predicted)
    """

    book: Ledger
    device: Device
    plan: Plan
    formats: Formats
    batch: Batch
    soft: str
    chosen: tuple[str, ...]
    doubt: float


def run_of(row: Row) -> Run | Unknown:
    """The run of a row, or what is missing."""
    found, device = model_of(row), _device(row)
    stand_in = isinstance(found, Unknown)
    if isinstance(found, Unknown):
        found = _by_size(row, found)
    if isinstance(found, Unknown):
        return found
    if isinstance(device, Unknown):
        return device
    book, soft = ledger(_with_heads(row, found)), software(row)
    scene = _Scene(row, book, device, soft, formats_of(row, device))
    run = _printed(scene) if any(row.parallelism.get(n) for n in LAYOUT) else _searched(scene)
    if not stand_in or isinstance(run, Unknown):
        return run
    note = "the row gives only a number of parameters: a plain decoder of that size stands in"
    return replace(run, chosen=(*run.chosen, note), doubt=run.doubt + STAND_IN)


STAND_IN: Final = 0.25
ASPECT: Final = 128
"""Width over depth of a plain decoder; loss hardly depends on it (Kaplan et al. 2020, arXiv 2001.08361)."""


def _by_size(row: Row, why: Unknown) -> Model | Unknown:
    """A plain decoder of so many parameters: 12·L·d² with d = 128·L."""
    printed = row.number(row.model, "params")
    named = re.search(r"(\d+(?:\.\d+)?) ?([MB])\b", str(row.model.get("name", "")))
    size = printed or (float(named[1]) * {"M": 1e6, "B": 1e9}[named[2]] if named else 0.0)
    if not size or row.model.get("experts"):
        return why
    depth_ = max(2, round((size / (12 * ASPECT**2)) ** (1 / 3)))
    shape = {"layers": depth_, "d_model": depth_ * ASPECT, "heads": depth_, "vocab": 50304, "d_ff": 4 * depth_ * ASPECT}
    return model_of(replace(row, model={"name": "stand-in", "mlp": "relu", **shape}))


def _device(row: Row) -> Device | Unknown:
    """By the row's id, else by the first word of its instance type ("trn1.32xlarge")."""
    key = str(row.hardware.get("key") or "").partition(".")[0]
    if row.hardware.get("catalogue_id") or not key:
        return device_of_row(row)
    try:
        return device_of(find(key))
    except FlopsightError:
        return device_of_row(row)


LAYOUT: Final = (
    "tp", "pp", "dp", "cp", "ep", "fsdp", "zero", "ici_fsdp", "ici_tp", "slices", "model_parallel_total",
    "model_parallel", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Scene:
    row: Row
    book: Ledger
    device: Device
    soft: str
    formats: Formats

    @property
    def count(self) -> int:
        """Devices; a run of which only hours are printed is taken to have had a thousand."""
        printed = self.row.number(self.row.hardware, "count") or self.row.number(self.row.measured, "gpus")
        return max(1, round(printed)) if printed else 1024 if self.row.measured.get("gpu_hours") else 64

    @property
    def seq(self) -> int:
        return self.row.whole(self.row.workload, "seq_len") or 4096


def _with_heads(row: Row, model: Model) -> Model:
    """Further-token layers run in training unless the row says otherwise."""
    words = row.notes.lower()
    return model if "without mtp" in words or "w/o mtp" in words else with_further_tokens(model)


def software(row: Row) -> str:
    """The class of software behind a row."""
    if "ZeRO" in str(row.parallelism.get("scheme", "")):
        return "deepspeed"
    if row.parallelism.get("method") == "Megatron-LM":
        return "megatron"
    if "eager" in row.dtype:
        return "torchtitan-eager"
    if "BLOOM" in str(row.model.get("name")):
        return "megatron-2021"
    return next((name for pattern, name in SOFTWARE if re.match(pattern, row.group)), "generic")


def class_of(row: Row) -> Framework:
    """That class with what the row says of it: attention that is not fused, exchange that hides."""
    soft = framework(software(row))
    told = str(row.parallelism.get("attention", ""))
    if told:
        soft = replace(soft, flash="no" not in told)
    words = f"{row.dtype} {row.parallelism.get('variant', '')} {row.parallelism.get('note', '')}".lower()
    return replace(soft, tp_hidden=max(soft.tp_hidden, 0.8)) if "async" in words else soft


def formats_of(row: Row, device: Device) -> Formats:
    """What dense products run in; 16 bits where the device has no engine for the words of the row."""
    words = row.dtype.lower()
    if "fp16" in words and "bf16" not in words:
        return Formats(compute="fp16", weights="fp16", attention="fp16")
    name = next((name for pattern, name in WIDTHS if re.search(pattern, words)), "")
    if not name or not device.has(name):
        return Formats(weights="bf16") if device.has("bf16") else Formats(weights="fp16")
    return Formats(compute=name, weights="bf16")


# ------------------------------------------------------------ a layout that is printed


def _whole(row: Row, *names: str) -> int:
    for name in names:
        value = row.parallelism.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _printed(s: _Scene) -> Run | Unknown:
    """The layout of the row; what it leaves out follows from the number of devices."""
    row, chosen = s.row, []
    tp, pp, cp = _whole(row, "tp", "ici_tp") or 1, _whole(row, "pp") or 1, _whole(row, "cp") or 1
    shared = _whole(row, "model_parallel_total", "model_parallel")
    if shared and not row.parallelism.get("tp"):
        tp, pp = min(8, shared), max(1, shared // 8)
    note = str(row.parallelism.get("note", ""))
    for name, value in re.findall(r"(tp|pp)(\d+)", note):
        tp, pp = (int(value), pp) if name == "tp" else (tp, int(value))
    if s.soft == "neuron":
        tp = max(1, tp // 2)
        chosen.append("tensor parallelism is printed in cores, two a chip")
    count = max(s.count, tp * pp * cp)
    dp = max(1, count // (tp * pp * cp))
    plan = Plan(
        tp=tp, pp=pp, cp=cp, dp=dp, ep=_experts(s, tp * cp * dp), vp=_chunks(s, pp), zero=_zero(s), hsdp=_hybrid(s, dp),
        sequence_parallel=tp > 1 and (s.soft != "megatron-2021" or bool(row.parallelism.get("sequence_parallel"))),
    )  # fmt: skip
    if plan.vp > 1:
        plan = plan.with_(schedule="interleaved")
    return _finished(s, plan, chosen)


def _experts(s: _Scene, width: int) -> int:
    """Printed, else every expert its own device as far as they go."""
    stored = max((one.part.experts for one in s.book.leaves if isinstance(one.part, Experts)), default=1)
    printed = _whole(s.row, "ep")
    return gcd(printed, width) if printed else gcd(stored, width) if stored > 1 and s.device.kind == "gpu" else 1


def _chunks(s: _Scene, pp: int) -> int:
    """Printed; tables of recent Megatron without such a column come from interleaved runs."""
    vp, layers = _whole(s.row, "vp", "interleave") or 1, depth(s.book)
    if vp == 1 and pp > 1 and re.match(INTERLEAVED, s.row.group):
        vp = next((v for v in range(8, 1, -1) if pp * v <= layers and layers % (pp * v) in (0, pp * v - 2)), 1)
    return vp if pp > 1 and pp * vp <= layers else 1


def _zero(s: _Scene) -> int:
    row = s.row
    fsdp, note = row.parallelism.get("fsdp"), str(row.parallelism.get("note", ""))
    told = _whole(row, "zero") or int((re.findall(r"zero(\d)", note) or [0])[0])
    if told:
        return min(told, 3)
    if re.search("BLOOM|NeoX", str(row.model.get("name"))):
        return 1
    if fsdp == "SHARD_GRAD_OP":
        return 2
    if fsdp or _whole(row, "ici_fsdp", "slices") or "ZeRO-3" in str(row.parallelism.get("scheme", "")):
        return 3
    return {"megatron": 1, "megatron-2025": 1, "megascale": 1, "maxtext": 3, "torchtitan": 3, "llm-foundry": 3}.get(
        s.soft, 0
    )


def _hybrid(s: _Scene, dp: int) -> int:
    """Slices, or replicas of a sharded group."""
    slices, sharded = _whole(s.row, "slices"), s.row.parallelism.get("fsdp")
    if slices and dp % slices == 0:
        return slices
    if isinstance(sharded, int) and not isinstance(sharded, bool) and 0 < sharded < dp and dp % sharded == 0:
        return dp // sharded
    return 1


# ------------------------------------------------------------ batch and recompute


def _finished(s: _Scene, plan: Plan, chosen: list[str]) -> Run | Unknown:
    """The run with its batch and what it recomputes."""
    sizes = _batch(s, plan, chosen)
    plan, batch, doubt = _recomputed(s, plan, sizes, chosen)
    return Run(s.book, s.device, plan, s.formats, batch, s.soft, tuple(chosen), doubt)


def sequences(s: _Scene, plan: Plan) -> int:
    """Sequences a step: printed whole, by token, by replica or by chip; 0 where nothing is printed."""
    row, load = s.row, s.row.workload
    whole = row.whole(load, "global_batch")
    if whole:
        return whole
    each = (
        row.number(load, "batch_per_dp") or row.number(load, "local_batch") or row.number(load, "micro_batch_per_gpu")
    )
    if each:
        return max(1, round(each * plan.dp))
    tokens = row.number(load, "global_batch_tokens") or row.number(row.measured, "global_tokens_per_step")
    if tokens:
        return max(1, round(tokens / s.seq))
    chip = row.number(load, "per_chip_batch")
    return max(1, round(chip * plan.devices)) if chip else 0


def _batch(s: _Scene, plan: Plan, chosen: list[str]) -> Batch:
    total = sequences(s, plan)
    if not s.row.whole(s.row.workload, "seq_len"):
        chosen.append(f"the row prints no sequence length; {s.seq} is taken")
    if not total:
        total = max(plan.dp, round(CONTEXT / s.seq))
        chosen.append("the row prints no batch; about 4M tokens a step are taken")
    each = max(1, round(total / plan.dp))
    micro = s.row.whole(s.row.workload, "micro_batch") or s.row.whole(s.row.workload, "micro_batch_per_gpu") or 0
    if not micro and (s.row.workload.get("local_batch") or s.row.workload.get("per_chip_batch")):
        micro = each
    if not micro:
        chosen.append("the row prints no micro-batch")
    micro = gcd(each, micro) if micro else _usual(s, plan, each)
    adapters = str(s.row.workload.get("task", "")).lower() == "lora"
    optimizer = "adam_no_master" if s.device.kind == "tpu" else "adam"
    return Batch(s.seq, each * plan.dp, micro, adapters=adapters, fused=class_of(s.row).flash, optimizer=optimizer)


def _usual(s: _Scene, plan: Plan, each: int) -> int:
    """One sequence with pipeline stages; else as many as make 8k tokens a device."""
    if plan.pp > 1:
        return 1
    if s.device.kind == "tpu":
        return each
    return gcd(each, max(1, 8192 // s.seq))


def _recomputed(s: _Scene, plan: Plan, batch: Batch, chosen: list[str]) -> tuple[Plan, Batch, float]:
    """What is printed; else the least recompute that fits in memory, which is what runs are tuned to."""
    told = _told(s)
    if told:
        return plan.with_(recompute=told), batch, 0.0
    for kind in ("none", "selective", "full"):
        tried = plan.with_(recompute=kind)
        if fits(s.book, s.device, tried, s.formats, batch):
            chosen.append(f"the row does not say what is recomputed; {kind} is the least that fits")
            return tried, batch, 0.05
    chosen.append("the row does not say what is recomputed; full is taken")
    return plan.with_(recompute="full"), batch, 0.1


def _told(s: _Scene) -> Recompute | None:
    load = s.row.workload
    for name in ("activation_recompute", "activation_checkpointing", "remat"):
        value = load.get(name)
        if value is None:
            continue
        if value is False:
            return "none"
        words = str(value).lower()
        return "selective" if "selective" in words or "minimal" in words else "full"
    return "full" if s.soft in ("megatron-2021", "deepspeed") else None


def fits(book: Ledger, device: Device, plan: Plan, formats: Formats, batch: Batch) -> bool:
    """Whether the prediction of memory lies under the device's."""
    run = forward(book, device, plan, formats, training=True)
    return memory_train(run, batch).total <= FULL * device.memory


# ------------------------------------------------------------ a layout that is not printed


def _searched(s: _Scene) -> Run | Unknown:
    """The fastest layout that fits, of those its software would try: what a tuned run uses.

    Judged by what was assumed before calibration, so that a fit does not choose its own layouts.
    """
    plan = _best(s.book, s.device, s.soft, s.formats, s.count, s.seq, sequences(s, Plan(dp=s.count)))
    chosen = [f"the row prints no layout; the fastest predicted that fits is taken ({plan})"]
    found = _finished(s, plan, chosen)
    return found if isinstance(found, Unknown) else replace(found, doubt=found.doubt + 0.15)


@lru_cache(1024)
def _best(book: Ledger, device: Device, soft: str, formats: Formats, count: int, seq: int, total: int) -> Plan:
    best, least = Plan(dp=count, zero=3, recompute="full"), float("inf")
    for plan, batch in _tried(book, device, count, seq, total):
        try:
            run = forward(book, device, plan, formats, training=True)
            if memory_train(run, batch).total > FULL * device.memory:
                continue
            seconds = step(run, batch, PRIORS[soft], {}).seconds / batch.tokens
        except UsageError:
            continue
        if seconds < least:
            best, least = plan, seconds
    return best.with_(recompute="none")


def _tried(book: Ledger, device: Device, count: int, seq: int, total: int) -> Iterator[tuple[Plan, Batch]]:
    cores = [one.part.heads for one in book.leaves if isinstance(one.part, AttentionCore | LatentCore)]
    heads = gcd(*cores) if cores else 1
    stored = max((one.part.experts for one in book.leaves if isinstance(one.part, Experts)), default=1)
    tpu = device.kind == "tpu"
    stages = (1,) if tpu else STAGES_TRIED
    for pp in stages:
        for tp in (*GPUS_TRIED, *((16,) if tpu else ())):
            if heads % tp or count % (tp * pp) or pp > depth(book):
                continue
            dp = count // (tp * pp)
            batch = total or max(dp, round(CONTEXT / seq))
            for plan in _variants(Plan(tp=tp, pp=pp, dp=dp, sequence_parallel=tp > 1), stored, depth(book), tpu):
                each = max(1, round(batch / dp))
                micro = each if tpu else 1 if pp > 1 else gcd(each, max(1, 8192 // seq))
                yield plan, Batch(seq, each * dp, micro)


def _variants(plan: Plan, stored: int, layers: int, tpu: bool) -> Iterator[Plan]:
    for zero in (3,) if tpu else (1,) if plan.pp > 1 else (1, 3):
        for ep in {1, *(e for e in (8, 16, 32, 64) if stored % e == 0 and (plan.tp * plan.dp) % e == 0)}:
            if stored > 1 and ep == 1 and not tpu:
                continue
            vp = next((v for v in CHUNKS_TRIED if layers % (plan.pp * v) == 0), 1) if plan.pp > 1 else 1
            for kind in ("none", "selective", "full"):
                yield plan.with_(zero=zero, ep=ep, vp=vp, recompute=kind, schedule="interleaved" if vp > 1 else "1f1b")
