"""`flopsight can`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def can(
    model: str | None = None,
    *,
    on: str,
    tokens_per_s: float,
    params: float | None = None,
    context: int = 2048,
    cache_dtype: Annotated[str, Parameter(name=["--cache-dtype", "--kv"])] = "",
    engine: str = "vllm",
    compare: str | None = None,
    reach: float = 1000.0,
    hardware_file: Annotated[list[str] | None, Parameter(negative=())] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Say whether one user of a model gets so many tokens a second on a machine, and show the arithmetic.

    Parameters
    ----------
    model
        A bundled name, a config.json, a folder, a file, a hub id, or a plain size: dense:1T.
    on
        The machine: 8xH100-SXM, h200, tpu-v5p:16.
    tokens_per_s
        Tokens a second that one user should get.
    params
        Instead of a model: the parameters of a dense one, such as 1e12.
    context
        Tokens behind which they are made.
    cache_dtype
        Format of the KV cache.
    engine
        The software, whose own time is added: vllm, sglang, trtllm, or none.
    compare
        Other machines, with commas between, or "none"; by default one of each current kind.
    reach
        A higher rate, for which is said what it would take.
    hardware_file
        A chip file of your own.
    json
        Print JSON (its schema: `flopsight schema can`).
    """
    from flopsight import api
    from flopsight.cli.output import show

    machines = None if compare is None else [] if compare == "none" else compare.split(",")
    result = api.can(
        model, on=on, tokens_per_s=tokens_per_s, params=params, context=context, cache_dtype=cache_dtype,
        engine=engine, compare=machines, reach=reach, hardware_files=hardware_file or (),
    )  # fmt: skip
    show(result, as_json=json)
