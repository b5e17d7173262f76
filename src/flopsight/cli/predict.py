"""`flopsight predict`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter


def predict(
    model: str,
    *,
    on: str,
    phase: Literal["train", "prefill", "decode", "serve"] = "decode",
    batch: int | None = None,
    concurrency: int | None = None,
    isl: int | None = None,
    osl: int | None = None,
    seq: int | None = None,
    micro_batch: int = 1,
    global_batch: int | None = None,
    dtype: str = "",
    weights: str = "",
    cache_dtype: Annotated[str, Parameter(name=["--cache-dtype", "--kv"])] = "",
    tp: int | None = None,
    pp: int | None = None,
    dp: int | None = None,
    ep: int | None = None,
    cp: int | None = None,
    zero: Literal[0, 1, 2, 3] | None = None,
    recompute: Literal["none", "selective", "full"] | None = None,
    engine: str = "",
    framework: str = "generic",
    vp: int | None = None,
    schedule: Literal["1f1b", "gpipe", "interleaved", "zero_bubble"] | None = None,
    prefix_hit: float = 0.0,
    draft_tokens: int = 0,
    acceptance: float | None = None,
    price: float | None = None,
    depth: int | None = None,
    hardware_file: Annotated[list[str] | None, Parameter(negative=())] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Predict how long a step takes on a machine, why, and what it leaves unused, with an interval.

    Parameters
    ----------
    model
        A bundled name, a config.json, a folder, a file, a hub id, or a plain size: dense:70B.
    on
        The machine: 8xH100-SXM, h200, tpu-v5p:16.
    phase
        Train (one optimizer step), prefill (prompts), decode (one token for each sequence), or serve (a server that so
        many clients keep busy).
    batch
        Sequences together over all devices, in prefill and decode.
    concurrency
        Requests in flight, in serve.
    isl
        Tokens of each prompt; in decode, the context.
    osl
        Tokens of each answer.
    seq
        Tokens of a training sequence.
    micro_batch
        Sequences of one training pass of one replica.
    global_batch
        Sequences of a training step.
    dtype
        The number format of matrix products.
    weights
        What weights are stored in: bf16, fp8, int4, nvfp4.
    cache_dtype
        Format of the KV cache.
    tp
        Devices that share each matrix.
    pp
        Stages of the pipeline.
    dp
        Copies of the model.
    ep
        Devices that share the experts of a layer.
    cp
        Devices that share each sequence.
    zero
        What data parallelism shards in training: 1 optimizer state, 2 and gradients, 3 and parameters.
    recompute
        Activation checkpointing in training.
    engine
        Software whose own time is added: vllm (the default where there is a cache), sglang, trtllm, eager, compile, or
        none.
    framework
        Training software: generic, megatron, torchtitan, maxtext, deepspeed, hf.
    vp
        Virtual stages of a pipeline rank in training.
    schedule
        Order of passes in the pipeline.
    prefix_hit
        Share of each prompt that the cache holds already, in serve.
    draft_tokens
        Tokens drafted a step by speculative decoding, in serve.
    acceptance
        Share of the drafts that stand.
    price
        Dollars for one device and hour, for the cost of tokens.
    depth
        How deep the table of parts goes.
    hardware_file
        A chip file of your own.
    json
        Print JSON (its schema: `flopsight schema predict`).
    """
    from flopsight import api
    from flopsight.cli.output import show

    result = api.predict(
        model, on=on, phase=phase, batch=batch, concurrency=concurrency, isl=isl, osl=osl, seq=seq,
        micro_batch=micro_batch, global_batch=global_batch, dtype=dtype, weights=weights, kv=cache_dtype, tp=tp, pp=pp,
        dp=dp, ep=ep, cp=cp, zero=zero, recompute=recompute or "", engine=engine, framework=framework, price=price,
        depth=depth, files=tuple(hardware_file or ()), vp=vp, schedule=schedule or "", prefix_hit=prefix_hit,
        acceptance=acceptance, draft_tokens=draft_tokens,
    )  # fmt: skip
    show(result, as_json=json)
