"""`flopsight count`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter


def count(
    model: str,
    *,
    phase: Literal["train", "prefill", "decode"] = "prefill",
    batch: int = 1,
    seq: int | None = None,
    past: int | None = None,
    mask: Literal["required", "full"] = "required",
    logits: Literal["all", "last"] = "all",
    recompute: Literal["none", "selective", "full"] = "none",
    images: int = 0,
    image_size: int | None = None,
    encoder: int | None = None,
    cache_dtype: Annotated[str | None, Parameter(name=["--cache-dtype", "--kv"])] = None,
    depth: int | None = None,
    tensors: Annotated[bool, Parameter(negative=())] = False,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Count every part of a model: shapes, parameters, FLOPs and bytes.

    Parameters
    ----------
    model
        A bundled name, a config.json, a folder, a .gguf or .safetensors file, a hub id, or package.module:function.
    phase
        Train (forward and backward), prefill (forward) or decode (tokens behind a cache).
    batch
        Sequences (images, for a vision or diffusion model).
    seq
        Tokens computed now, per sequence; in decode without --past, one token behind a context of this length.
    past
        Tokens already cached, per sequence.
    mask
        What the headline and the shares count: the causal area that is required, or the full score square.
    logits
        Positions that go through the output head.
    recompute
        Activation checkpointing of training, counted in executed FLOPs only.
    images
        Images or audio clips per sequence, for models with a tower.
    image_size
        Side of a square image in pixels, if not the config's.
    encoder
        Tokens on the encoder's side.
    cache_dtype
        Format of the KV cache.
    depth
        How deep the printed tree goes.
    tensors
        List every stored tensor.
    verbose
        Print each formula with its numbers put in.
    json
        Print JSON (its schema: `flopsight schema count`).
    """
    from flopsight import api
    from flopsight.cli.output import show
    from flopsight.errors import UsageError

    if depth is not None and depth < 0:
        raise UsageError(f"--depth is zero or more; got {depth}.")
    result = api.count(
        model, phase=phase, batch=batch, seq=seq, past=past, mask=mask, logits=logits, recompute=recompute,
        images=images, image_size=image_size, encoder=encoder, cache_dtype=cache_dtype, tensors=tensors,
        verbose=verbose,
    )  # fmt: skip
    if depth is not None:
        result.parts = [row for row in result.parts if row.depth <= depth]
    show(result, as_json=json)
