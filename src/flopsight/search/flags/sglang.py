"""SGLang: `python -m sglang.launch_server`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flopsight.plan import Plan
from flopsight.search.flags.launch import Launch, Served, checkpoint, pair, several

PROGRAM: Final = "SGLang"
VERSION: Final = "0.5.23"


def cannot(plan: Plan, *, routed: bool) -> str:
    """Any number of attention replicas inside the tensor-parallel group, any expert parallelism that divides it."""
    wide = plan.tp * plan.dp
    if not routed and plan.dp > 1:
        return "attention replicas of a model without experts are copies of the server"
    return "" if plan.expert_shards in (1, wide) or not routed else "experts have to span all devices of a server"


def launch(served: Served) -> Launch:
    """`sglang.launch_server`; running requests and the chunk are those of all attention replicas together."""
    why = cannot(served.plan, routed=served.routed)
    if why:
        return Launch(PROGRAM, VERSION, cannot=why)
    notes = () if served.formats.weights == "fp8" else checkpoint(served)
    return Launch(PROGRAM, VERSION, tuple(_words(served)), notes=(*notes, *several(served), *_hosts_notes(served)))


def _words(served: Served) -> Iterator[str]:
    plan = served.plan
    yield f"python -m sglang.launch_server --model-path {served.model}"
    yield pair("--tp-size", plan.tp * plan.dp)
    if plan.pp > 1:
        yield pair("--pp-size", plan.pp)
    if plan.dp > 1:
        yield pair("--attn-dp-size", plan.dp)
    if plan.ep > 1:
        yield pair("--ep-size", plan.ep)
    if served.hosts > 1:
        yield f"--nnodes {served.hosts} --node-rank $RANK"
        yield pair("--dist-init-addr", "$HEAD:20000")
    yield pair("--context-length", served.longest)
    yield pair("--max-running-requests", served.sequences * plan.dp)
    yield pair("--chunked-prefill-size", served.chunk * plan.dp)
    yield pair("--mem-fraction-static", served.fraction)
    if served.formats.weights == "fp8" and not served.quantized:
        yield pair("--quantization", "fp8")
    if served.formats.cache.startswith("fp8"):
        yield pair("--kv-cache-dtype", "fp8_e4m3")


def _hosts_notes(served: Served) -> tuple[str, ...]:
    if served.hosts == 1:
        return ()
    return (f"{served.hosts} hosts of {served.host} devices; run it on each with its own $RANK.",)
