"""`flopsight bench`: a model run for real on this machine, predicted beside measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=())]


def bench(
    model: str, *, phase: str = "prefill,decode", batch: str = "1", seq: int | None = None, past: int | None = None,
    on: str = "here", device: str = "", dtype: Literal["", "fp32", "bf16", "fp16"] = "", seconds: float = 60.0,
    layers: int | None = None, using: Literal["", "transformers", "reference"] = "", out: Path | None = None,
    json: Flag = False,
) -> None:  # fmt: skip
    """Run a model with random weights on this machine, and put predicted beside measured, part by part.

    Parameters
    ----------
    model
        Anything with a config that `flopsight count` takes: a bundled name, a config.json, a folder, a .gguf, a hub id.
    phase
        Of prefill, decode and train, with commas between them.
    batch
        Sequences of a step, with commas between several.
    seq
        Tokens of a prompt or of a training sequence, 512 by default; in decode the tokens already cached.
    past
        Tokens already cached in decode, if not `seq`.
    on
        Only "here": for another machine there is `flopsight predict`.
    device
        A torch device: cpu, cuda:0, xpu, mps. By default the accelerator that torch sees, else the processor.
    dtype
        Number format of weights and activations; by default bf16 where this device is faster in it, else fp32.
    seconds
        Time for all cases together; measuring the machine first takes about ten seconds more.
    layers
        Run so many layers of the model; by default all that fit the memory and the time.
    using
        The implementation: transformers, or the plain reference; by default transformers where it is installed.
    out
        Also write the result as JSON to this file.
    json
        Print JSON (its schema: `flopsight schema bench`).
    """
    from flopsight import api
    from flopsight.cli.output import show
    from flopsight.cli.progress import bar

    with bar("running") as progress:
        found = api.bench(
            model, phases=_words(phase), batches=_numbers(batch), seq=seq, past=past, on=on, device=device,
            dtype=dtype, seconds=seconds, layers=layers, using=using or None, out=out, progress=progress,
        )  # fmt: skip
    show(found, as_json=json)


def _words(listed: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in listed.split(",") if word.strip()))


def _numbers(listed: str) -> tuple[int, ...]:
    from flopsight.errors import UsageError

    try:
        return tuple(dict.fromkeys(int(word) for word in listed.split(",")))
    except ValueError:
        raise UsageError(f"Batches are whole numbers with commas between them; got {listed!r}.") from None
