"""vLLM: `vllm serve`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flopsight.plan import Plan
from flopsight.search.flags.launch import Launch, Served, checkpoint, pair, several

PROGRAM: Final = "vLLM"
VERSION: Final = "0.33.0"


def cannot(plan: Plan, *, routed: bool) -> str:
    """Experts are shared by all of tp x dp, either whole (expert parallel) or in slices (tensor parallel)."""
    wide = plan.tp * plan.dp
    if routed and (plan.ep, plan.expert_tp) not in ((1, wide), (wide, 1)):
        return f"vLLM spreads experts over all {wide} devices whole or cuts each of them {wide} ways, nothing between"
    if not routed and plan.dp > 1:
        return "vLLM runs attention replicas only with experts behind them"
    return ""


def launch(served: Served) -> Launch:
    """`vllm serve` with parallelism, lengths, memory and formats."""
    why = cannot(served.plan, routed=served.routed)
    if why:
        return Launch(PROGRAM, VERSION, cannot=why)
    inside = _inside(served)
    notes = (*_weights_notes(served), *(() if inside else several(served)), *_hosts_notes(served))
    return Launch(PROGRAM, VERSION, tuple(_words(served, inside)), notes=notes)


def _inside(served: Served) -> bool:
    """Whether one server holds all copies: a dense model's replicas on one host."""
    return not served.routed and served.copies > 1 and served.copies * served.plan.devices <= served.host


def _words(served: Served, inside: bool) -> Iterator[str]:
    plan = served.plan
    yield f"vllm serve {served.model}"
    yield pair("--tensor-parallel-size", plan.tp)
    if plan.pp > 1:
        yield pair("--pipeline-parallel-size", plan.pp)
    if plan.dp > 1 or inside:
        yield pair("--data-parallel-size", served.copies if inside else plan.dp)
    if plan.ep > 1:
        yield "--enable-expert-parallel"
    yield from _hosts(served)
    yield pair("--max-model-len", served.longest)
    yield pair("--max-num-seqs", served.sequences)
    yield pair("--max-num-batched-tokens", served.chunk)
    yield pair("--gpu-memory-utilization", served.fraction)
    if served.formats.weights == "fp8" and not served.quantized:
        yield pair("--quantization", "fp8")
    if served.formats.cache.startswith("fp8"):
        yield pair("--kv-cache-dtype", "fp8")


def _hosts(served: Served) -> Iterator[str]:
    """Attention replicas are dealt to hosts; a replica wider than a host spans them."""
    plan, hosts = served.plan, served.hosts
    if hosts == 1:
        return
    if plan.dp % hosts == 0:
        yield pair("--data-parallel-size-local", plan.dp // hosts)
        yield pair("--data-parallel-address", "$HEAD")
    else:
        yield pair("--nnodes", hosts)
        yield pair("--node-rank", "$RANK")
        yield pair("--master-addr", "$HEAD")


def _hosts_notes(served: Served) -> tuple[str, ...]:
    plan, hosts = served.plan, served.hosts
    if hosts == 1:
        return ()
    if plan.dp % hosts == 0:
        start = f"--headless --data-parallel-start-rank $((RANK * {plan.dp // hosts}))"
        return (f"{hosts} hosts of {served.host} devices; on all but the first add {start}.",)
    return (f"{hosts} hosts of {served.host} devices; on all but the first add --headless.",)


def _weights_notes(served: Served) -> tuple[str, ...]:
    return () if served.formats.weights == "fp8" else checkpoint(served)
