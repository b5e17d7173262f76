"""`flopsight mfu`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter


def mfu(
    model: str,
    *,
    tokens_per_s: float,
    on: str,
    phase: Literal["train", "prefill", "decode"] = "train",
    batch: int = 1,
    seq: int | None = None,
    past: int | None = None,
    dtype: str = "bf16",
    basis: Literal["datasheet", "clock", "measured"] = "datasheet",
    recompute: Literal["none", "selective", "full"] = "none",
    convention: str = "exact",
    cache_dtype: Annotated[str | None, Parameter(name=["--cache-dtype", "--kv"])] = None,
    hardware_file: Annotated[list[str] | None, Parameter(negative=())] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Say what utilization a throughput means on a machine, and what every framework would have printed.

    Parameters
    ----------
    model
        A bundled name, a config.json, a folder, a file, a hub id or package.module:function.
    tokens_per_s
        Tokens a second of all devices together.
    on
        The machine: 8xH100-SXM, h200, tpu-v5p:16.
    phase
        What the tokens were: trained, prefilled or decoded.
    batch
        Sequences together in a step.
    seq
        Tokens per sequence (in decode: the context, unless --past is given).
    past
        Tokens already cached, per sequence.
    dtype
        The number format the matrix engine computes in.
    basis
        Which peak: the data sheet's, that of the maximum clock, or the best published measurement.
    recompute
        Activation checkpointing, which HFU counts.
    convention
        How MFU's numerator is counted.
    cache_dtype
        Format of the KV cache, for MBU.
    hardware_file
        A chip file of your own.
    json
        Print JSON (its schema: `flopsight schema mfu`).
    """
    from flopsight import api
    from flopsight.cli.output import show

    result = api.mfu(
        model, tokens_per_s=tokens_per_s, on=on, phase=phase, batch=batch, seq=seq, past=past, dtype=dtype,
        basis=basis, recompute=recompute, convention=convention, cache_dtype=cache_dtype,
        hardware_files=hardware_file or (),
    )  # fmt: skip
    show(result, as_json=json)
