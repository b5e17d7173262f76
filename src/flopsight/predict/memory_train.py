"""What one device holds in training: weights, gradients, optimizer state, activations, logits and buffers.

Activations follow Korthikanti et al. 2022 (arXiv 2205.05198, section 4): what the backward pass reads is kept. For a
GPT layer that is s·b·h·(34 + 5·a·s/h) bytes, s·b·h·(10 + 24/t + 5·a·s/(h·t)) with tensor parallelism and 1/t of all
with sequence parallelism as well. Here the same rule is applied leaf by leaf, so that gated, grouped-query, latent and
routed layers follow from it: every product keeps its input once, a norm and an activation what they read, attention its
queries, keys and values, and without a fused kernel the square of scores (2 bytes of softmax, 1 of dropout mask, 2 of
its output).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final

from flopsight.models.ledger import Ledger
from flopsight.models.tree import Leaf
from flopsight.parts.attention import AttentionCore
from flopsight.parts.linear import Linear
from flopsight.parts.mla import LatentCore
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm
from flopsight.parts.vector import Elementwise
from flopsight.plan import Plan
from flopsight.predict.batch import Batch
from flopsight.predict.forward import Forward
from flopsight.predict.optimizer import optimizer
from flopsight.predict.pipeline import deal, in_flight
from flopsight.predict.shard import depth, layered, split_of
from flopsight.workload import Work

HALF: Final = 2
RESERVED: Final = {"gpu": 1.5e9, "tpu": 0.5e9}
"""Bytes that the driver, its context and the communication library keep; class-level."""
ALIVE: Final = 2
"""Layers whose gathered parameters are alive at once under zero 3: the running one and the prefetched one."""
SCORES: Final = 5
"""Bytes a score that an attention without a fused kernel keeps: softmax 2, mask 1, dropout's output 2."""
LOGIT: Final = {"gpu": 6, "tpu": 4}
"""Bytes a logit: fp32 scores, as Korthikanti et al. count them, beside their 16-bit originals; a whole-program compiler
keeps the fp32 ones in registers and holds 16-bit scores and gradients."""
PASSING: Final = ("residual", "rope", "route", "sampler", "apply")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one device, by use.

    weights      parameters it computes with, in 16 bits
    gradients    of them
    optimizer    master weights and moments
    activations  kept for the backward pass, all micro-batches in flight
    logits       scores over the vocabulary and their gradient
    buffers      gathered parameters, context, communication
    """

    weights: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    logits: float = 0.0
    buffers: float = 0.0

    @property
    def total(self) -> float:
        """All uses together."""
        return float(sum(getattr(self, f.name) for f in fields(Memory)))


@lru_cache(4096)
def memory_train(forward: Forward, batch: Batch) -> Memory:
    """The fuller of the first pipeline stage (most micro-batches in flight) and the last one (logits)."""
    plan = forward.plan
    held = _states(forward, batch)
    tokens = batch.micro_batch * batch.seq / plan.cp
    counts = deal(depth(forward.book), plan.pp, plan.vp)
    first = _activations(
        forward, batch, tokens, counts[0], in_flight(plan.schedule, plan.pp, plan.vp, batch.passes(plan))
    )
    last = _activations(forward, batch, tokens, counts[-1], 1.0)
    scores = vocabulary(forward.book, tokens, plan) * LOGIT.get(forward.device.kind, LOGIT["gpu"])
    ends = (first, 0.0 if plan.pp > 1 else scores), (last, scores)
    activations, ahead = max(ends, key=sum) if plan.pp > 1 else ends[0]
    return Memory(*held, activations, ahead, _buffers(forward))


# ------------------------------------------------------------ parameters


def _states(forward: Forward, batch: Batch) -> tuple[float, float, float]:
    """Weights, gradients and optimizer state of the fuller end of the pipeline."""
    plan, kind = forward.plan, optimizer(batch.optimizer)
    shares = _shares(plan)
    found = [0.0, 0.0, 0.0]
    for name, count in forward.shard.elements.items():
        ways = shares[name == "experts"]
        trained = 0.0 if batch.adapters else 1.0
        found[0] += count * HALF / (ways if plan.zero == 3 else 1)
        found[1] += trained * count * batch.gradient_bytes / (ways if plan.zero >= 2 else 1)
        found[2] += trained * count * kind.state / (ways if plan.zero >= 1 else 1)
    return found[0], found[1], found[2]


def _shares(plan: Plan) -> tuple[float, float]:
    """Devices over which zero shards dense parameters and experts."""
    dense = plan.dp * plan.cp / plan.hsdp
    routed = plan.dp * plan.cp * plan.tp / plan.expert_shards / plan.hsdp
    return max(1.0, dense), max(1.0, routed)


def _buffers(forward: Forward) -> float:
    kept = RESERVED.get(forward.device.kind, RESERVED["gpu"])
    if forward.plan.zero < 3:
        return kept
    whole = sum(n for kind, n in forward.shard.elements.items() if kind not in ("embedding", "lm_head"))
    return kept + ALIVE * whole * HALF * forward.plan.pp / depth(forward.book)


# ------------------------------------------------------------ activations


def vocabulary(book: Ledger, tokens: float, plan: Plan) -> float:
    """Logits of so many tokens on one device; 0 without a head."""
    heads = [one.part.outputs for one in book.leaves if one.part.kind == "lm_head" and isinstance(one.part, Linear)]
    return tokens * max(heads, default=0) / plan.tp


def _activations(forward: Forward, batch: Batch, tokens: float, layers: int, flying: float) -> float:
    """Bytes kept by one stage: its layers, times the micro-batches in flight; full recompute keeps a layer's input."""
    plan, each = forward.plan, kept_by_layer(forward, batch)
    if plan.recompute == "full":
        ends = width(forward.book) * HALF / (plan.tp if plan.sequence_parallel else 1)
        return tokens * (ends * layers * flying + each)
    return tokens * each * layers * flying


def width(book: Ledger) -> int:
    """The residual stream's width."""
    return max(
        (one.part.width for one in book.leaves if isinstance(one.part, Norm) and one.stream == "text"), default=0
    )


def kept_by_layer(forward: Forward, batch: Batch) -> float:
    """Bytes a token and average layer keep on one device."""
    return _kept(forward, batch.seq, batch.fused, forward.plan.recompute) / depth(forward.book)


@lru_cache(1024)
def _kept(forward: Forward, seq: int, fused: bool, recompute: str) -> float:
    """Bytes a token keeps in all numbered layers; dropout (1 byte of mask) goes with attention that is not fused.

    Selective recompute spares the scores, or where a fused kernel keeps none, what norms and activations read.
    """
    spared = fused and recompute == "selective"
    no_scores = fused or recompute != "none"
    seen: set[tuple[object, ...]] = set()
    total = 0.0
    for one in forward.book.leaves:
        if not layered(one) or one.stream != "text":
            continue
        if spared and isinstance(one.part, Norm | Elementwise):
            continue
        key = _input(one)
        if key is None or key not in seen:
            total += one.times * _leaf(forward, one, seq, no_scores)
        if key is not None:
            seen.add(key)
        if not fused and isinstance(one.part, Linear) and split_of(one) == "row":
            total += one.times * one.part.outputs * _spread(forward.plan)
    return total


def _input(one: Leaf) -> tuple[object, ...] | None:
    """What products that read the same input share."""
    if not isinstance(one.part, Linear) or split_of(one) == "row":
        return None
    return one.path.rpartition(".")[0], one.part.inputs, one.times


def _spread(plan: Plan) -> float:
    return 1 / plan.tp if plan.sequence_parallel else 1.0


def _leaf(forward: Forward, one: Leaf, seq: int, no_scores: bool) -> float:
    """Bytes a token of one execution of a leaf."""
    part, plan = one.part, forward.plan
    if isinstance(part, Linear):
        each = 1.0 if forward.kept.multiplied(one) in ("fp8", "fp4", "int8") else HALF
        return part.inputs * each * (1 / plan.tp if split_of(one) == "row" else _spread(plan))
    if isinstance(part, Norm):
        return part.width * HALF * _spread(plan)
    if isinstance(part, Experts):
        each = 1.0 if forward.kept.multiplied(one) in ("fp8", "fp4", "int8") else HALF
        tokens = part.visited * max(1.0, plan.expert_shards / (plan.tp * plan.cp)) / plan.ep
        tokens *= plan.cp if plan.expert_shards < plan.cp else 1
        inner = part.inner / plan.expert_tp
        return tokens * (part.width * each + (1 + part.gated) * inner * HALF + inner * each)
    if isinstance(part, AttentionCore):
        return _core(part, seq, no_scores) / plan.tp
    if isinstance(part, LatentCore):
        return part.heads * (2 * (part.nope + part.rope) + part.value_width) * HALF / plan.tp
    return _moved(forward, one)


def _core(part: AttentionCore, seq: int, no_scores: bool) -> float:
    """Queries, keys and values; where scores are kept, 5 bytes of each."""
    inputs = (part.heads * part.key_width + part.kv_heads * (part.key_width + part.value_width)) * HALF
    return inputs + (0 if no_scores else SCORES * part.heads * seq)


def _moved(forward: Forward, one: Leaf) -> float:
    """What an activation reads; residuals, rotary embedding and routing keep nothing."""
    last = one.path.rpartition(".")[2]
    if last in PASSING:
        return 0.0
    reads = float(sum(op.reads for op in one.part.ops(Work(1, 1024)))) / 1024
    return reads * HALF / (forward.plan.tp if isinstance(one.part, Elementwise) else 1) if reads else 0.0
