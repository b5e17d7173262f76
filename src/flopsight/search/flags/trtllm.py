"""TensorRT-LLM: `trtllm-serve` on its PyTorch backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flopsight.plan import Plan
from flopsight.search.flags.launch import Launch, Served, checkpoint, pair, several

PROGRAM: Final = "TensorRT-LLM"
VERSION: Final = "1.2"
FILE: Final = "plan.yaml"


def cannot(plan: Plan, *, routed: bool) -> str:
    """Attention is split over all devices or repeated on each of them; experts by ep and tp in any mix."""
    wide = plan.tp * plan.dp
    if not routed and plan.dp > 1:
        return "attention replicas of a model without experts are copies of the server"
    if plan.dp > 1 and plan.tp > 1:
        return f"TensorRT-LLM has attention on {wide} ranks or {wide} attention replicas, nothing between"
    return "" if plan.expert_shards in (1, wide) or not routed else "experts have to span all devices of a server"


def launch(served: Served) -> Launch:
    """`trtllm-serve` and the file with what has no option of its own."""
    why = cannot(served.plan, routed=served.routed)
    if why:
        return Launch(PROGRAM, VERSION, cannot=why)
    text = "".join(f"{line}\n" for line in _text(served))
    notes = [*checkpoint(served), *several(served)]
    if served.hosts > 1:
        notes.append(
            f"{served.hosts} hosts of {served.host} devices: start it under srun or mpirun with one rank each."
        )
    return Launch(PROGRAM, VERSION, tuple(_words(served)), FILE, text, tuple(notes))


def _words(served: Served) -> Iterator[str]:
    plan = served.plan
    yield f"trtllm-serve {served.model}"
    yield pair("--tp_size", plan.tp * plan.dp)
    if plan.pp > 1:
        yield pair("--pp_size", plan.pp)
    if plan.ep > 1:
        yield pair("--ep_size", plan.ep)
    yield pair("--max_batch_size", served.sequences)
    yield pair("--max_num_tokens", served.chunk)
    yield pair("--max_seq_len", served.longest)
    yield pair("--kv_cache_free_gpu_memory_fraction", served.fraction)
    yield pair("--extra_llm_api_options", FILE)


def _text(served: Served) -> Iterator[str]:
    if served.plan.dp > 1:
        yield "enable_attention_dp: true"
    yield "enable_chunked_prefill: true"
    if served.formats.cache.startswith("fp8"):
        yield "kv_cache_config:"
        yield "  dtype: fp8"
