"""torchtitan: a configuration function, which is how it is configured since 0.3.0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flopsight.search.flags.launch import Launch, Trained

PROGRAM: Final = "torchtitan"
VERSION: Final = "0.3.0"
FILE: Final = "flopsight_plan.py"
BASES: Final = {
    "llama-3-8b": ("llama3", "llama3_8b"), "llama-3.1-8b": ("llama3", "llama3_8b"),
    "llama-3.1-70b": ("llama3", "llama3_70b"), "llama-3.3-70b": ("llama3", "llama3_70b"),
    "llama-3.1-405b": ("llama3", "llama3_405b"), "deepseek-v3": ("deepseek_v3", "deepseek_v3_671b"),
    "qwen3-0.6b": ("qwen3", "qwen3_0_6b"), "qwen3-32b": ("qwen3", "qwen3_32b"),
    "qwen3-30b-a3b": ("qwen3", "qwen3_30b_a3b"), "gpt-oss-20b": ("gpt_oss", "gpt_oss_20b"),
}  # fmt: skip
"""Models with a configuration of their own (torchtitan/models/*/config_registry.py)."""
CHECKPOINTING: Final = {"none": "None", "selective": "SelectiveAC.Config()", "full": "FullAC.Config()"}


def launch(trained: Trained) -> Launch:
    """The configuration file and the command that runs it."""
    why = _why(trained)
    if why:
        return Launch(PROGRAM, VERSION, cannot=why)
    plan = trained.plan
    hosts = -(-plan.devices // trained.host)
    words = (
        f"torchrun --nnodes {hosts} --nproc-per-node {min(trained.host, plan.devices)} -m torchtitan.train",
        "--module flopsight_plan --config plan",
    )
    return Launch(PROGRAM, VERSION, words, FILE, "".join(f"{line}\n" for line in _text(trained)), _notes(trained))


def _why(t: Trained) -> str:
    if t.model not in BASES:
        return f"torchtitan {VERSION} comes with no configuration of {t.model}"
    if t.plan.zero == 1:
        return "torchtitan shards parameters too (zero 3); it has no zero 1"
    return ""


def _notes(t: Trained) -> tuple[str, ...]:
    notes = []
    if t.compute == "fp8":
        notes.append("For fp8 products build the model with a Float8LinearConverter, as llama3_405b does.")
    if t.plan.sequence_parallel is False and t.plan.tp > 1:
        notes.append("Sequence parallelism is left off.")
    return tuple(notes)


def _text(t: Trained) -> Iterator[str]:
    module, base = BASES[t.model]
    if t.plan.recompute != "none":
        name = CHECKPOINTING[t.plan.recompute].partition(".")[0]
        yield f"from torchtitan.distributed.activation_checkpoint import {name}"
    yield f"from torchtitan.models.{module}.config_registry import {base}"
    yield ""
    yield ""
    yield "def plan():"
    yield f"    config = {base}()"
    for path, value in _settings(t):
        yield f"    config.{path} = {value}"
    yield "    return config"


def _settings(t: Trained) -> Iterator[tuple[str, object]]:
    plan = t.plan
    yield "parallelism.tensor_parallel_degree", plan.tp
    yield "parallelism.pipeline_parallel_degree", plan.pp
    yield "parallelism.context_parallel_degree", plan.cp
    sharded = plan.dp // plan.hsdp if plan.zero else 1
    yield "parallelism.data_parallel_shard_degree", sharded
    yield "parallelism.data_parallel_replicate_degree", plan.dp // sharded
    if plan.ep > 1:
        yield "parallelism.expert_parallel_degree", plan.ep
    if plan.zero == 3:
        yield "parallelism.fsdp_reshard_after_forward", '"always"'
    if plan.pp > 1:
        yield "parallelism.pipeline_parallel_schedule", '"Interleaved1F1B"' if plan.vp > 1 else '"1F1B"'
        yield "parallelism.pipeline_parallel_microbatch_size", t.micro_batch
    yield "training.local_batch_size", t.micro_batch * t.passes if plan.pp > 1 else t.micro_batch
    yield "training.global_batch_size", t.global_batch
    yield "training.seq_len", t.seq
    yield "activation_checkpoint", CHECKPOINTING[plan.recompute]
