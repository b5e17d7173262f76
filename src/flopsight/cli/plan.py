"""`flopsight plan`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def plan(
    model: str,
    *,
    on: str,
    isl: int | None = None,
    osl: int | None = None,
    slo: str = "",
    sure: float = 0.5,
    concurrency: int | None = None,
    engine: str = "",
    weights: str = "",
    cache_dtype: Annotated[str, Parameter(name=["--cache-dtype", "--kv"])] = "",
    formats: str = "",
    train: Annotated[bool, Parameter(negative=())] = False,
    global_batch: int | None = None,
    seq: int | None = None,
    dtype: str = "bf16",
    optimizer: str = "adam",
    hardware_file: Annotated[list[str] | None, Parameter(negative=())] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Find the layout of a model on a machine: try every one that fits, rank them, and say how to launch the best.

    Parameters
    ----------
    model
        A bundled name, a config.json, a folder, a file, a hub id, or a plain size: dense:70B.
    on
        The machine: 8xH100-SXM, h200:8, 64xB200.
    isl
        Tokens of each prompt, in the mean.
    osl
        Tokens of each answer, in the mean.
    slo
        What users are promised: ttft=1s,tpot=30ms (or one of the two).
    sure
        How sure a promise has to be: 0.5 takes the prediction itself, 0.9 leaves room for its error.
    concurrency
        Requests in flight, all over the machine; left out, each layout takes the most that keeps the promise.
    engine
        Software: vllm, sglang or trtllm for serving; megatron, torchtitan and others for training.
    weights
        What weights are stored in: bf16, fp8, int4, nvfp4; left out, what the checkpoint has.
    cache_dtype
        Format of the KV cache.
    formats
        "any" tries weight and cache formats too.
    train
        Plan a training run.
    global_batch
        Sequences of a training step.
    seq
        Tokens of a training sequence.
    dtype
        What matrix products of training run in: bf16 or fp8.
    optimizer
        Of training: adam, adam_8bit, lion and others.
    hardware_file
        A chip file of your own.
    json
        Print JSON (its schema: `flopsight schema plan`).
    """
    from flopsight import api
    from flopsight.cli.output import show
    from flopsight.cli.progress import bar

    with bar("layouts") as progress:
        result = api.plan(
            model, on=on, isl=isl, osl=osl, slo=slo, sure=sure, concurrency=concurrency, engine=engine,
            weights=weights, kv=cache_dtype, formats=formats, train=train, global_batch=global_batch, seq=seq,
            dtype=dtype, optimizer=optimizer, files=hardware_file or (), progress=progress,
        )  # fmt: skip
    show(result, as_json=json)
