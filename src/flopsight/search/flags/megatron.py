"""Megatron-LM: the parallelism, batch and recompute options of `pretrain_gpt.py`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from flopsight.plan import Plan
from flopsight.search.flags.launch import Launch, Trained, pair

PROGRAM: Final = "Megatron-LM"
VERSION: Final = "core 0.20.0, main of 2026-08-22"


def launch(trained: Trained) -> Launch:
    """`torchrun pretrain_gpt.py` with everything but the model's shape and its data."""
    notes = ("Add the options of the model (--num-layers, --hidden-size and so on), of its data and of the optimizer.",)
    return Launch(PROGRAM, VERSION, tuple(_words(trained)), notes=notes)


def _words(t: Trained) -> Iterator[str]:
    plan = t.plan
    hosts = -(-plan.devices // t.host)
    yield f"torchrun --nnodes {hosts} --nproc-per-node {min(t.host, plan.devices)} pretrain_gpt.py"
    yield pair("--tensor-model-parallel-size", plan.tp)
    if plan.sequence_parallel:
        yield "--sequence-parallel"
    yield pair("--pipeline-model-parallel-size", plan.pp)
    yield from _stages(t)
    if plan.cp > 1:
        yield pair("--context-parallel-size", plan.cp)
    if plan.ep > 1:
        yield pair("--expert-model-parallel-size", plan.ep)
        yield pair("--expert-tensor-parallel-size", plan.expert_tp)
        yield "--moe-token-dispatcher-type alltoall --moe-grouped-gemm"
    yield from _sharding(plan)
    yield from _recompute(plan)
    yield pair("--micro-batch-size", t.micro_batch)
    yield pair("--global-batch-size", t.global_batch)
    yield pair("--seq-length", t.seq)
    yield "--bf16"
    if t.compute == "fp8":
        yield "--fp8-format hybrid"


def _stages(t: Trained) -> Iterator[str]:
    """Virtual stages; a layout where they hold different numbers of layers: E embedding, t layer, L loss."""
    if len(set(t.chunks)) > 1:
        yield pair("--pipeline-model-parallel-layout", f'"{layout(t.chunks)}"')
    elif t.plan.vp > 1:
        yield pair("--num-virtual-stages-per-pipeline-rank", t.plan.vp)


def layout(chunks: tuple[int, ...]) -> str:
    """The layout string of chunks.

    >>> layout((1, 2, 2, 2, 1))
    'Et|(tt|)*3,tL'
    """
    middle = [(n, len(list(same))) for n, same in groupby(chunks[1:-1])]
    parts = [f"({'t' * n}|)*{times}," if times > 1 else f"{'t' * n}|" for n, times in middle]
    return f"E{'t' * chunks[0]}|{''.join(parts)}{'t' * chunks[-1]}L"


def _sharding(plan: Plan) -> Iterator[str]:
    if plan.zero == 3:
        yield "--use-megatron-fsdp --data-parallel-sharding-strategy optim_grads_params"
        yield "--no-gradient-accumulation-fusion --ckpt-format fsdp_dtensor"
    if plan.zero:
        yield "--use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather"
    if plan.hsdp > 1:
        yield pair("--num-distributed-optimizer-instances", plan.hsdp)


def _recompute(plan: Plan) -> Iterator[str]:
    if plan.recompute == "full":
        yield "--recompute-granularity full --recompute-method uniform --recompute-num-layers 1"
    elif plan.recompute == "selective":
        yield "--recompute-granularity selective"
