"""Engines that run one static batch: eager frameworks, compiled loops, llama.cpp and the libraries before vLLM.

`predict/data/generation.json` holds what was fitted, its protocol and its error on the rows left out; what stands here
is what stands before any fit.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from flopsight.predict.engines.engine import Engine
from flopsight.predict.kernels.roofline import coefficients

UNBOUNDED: Final = 2**40
"""A static batch is computed in one step, however long its prompts are."""


def _static(name: str, **values: float | bool) -> Engine:
    """An engine that runs a batch as it is: no scheduler, no pages, no prompts beside a decode batch."""
    whole: dict[str, Any] = {"chunk": UNBOUNDED, "mixed": False, "block": 1, "fraction": 1.0, **values}
    return Engine(name, **whole)


_DEFAULTS: Final = {
    "eager": _static("eager", eager=1e-3, graphs=False),
    "compile": _static("compile", host=0.3e-3, per_layer=10e-6),
    "llamacpp": _static("llamacpp", host=0.3e-3, per_layer=20e-6, chunk=512),
    "fastertransformer": _static("fastertransformer", per_layer=60e-6),
    "megatron2021": _static("megatron2021", eager=0.6e-3, per_sequence=9e-3, graphs=False),
    "trtllm2023": _static("trtllm2023", per_layer=100e-6),
    "deepspeed": _static("deepspeed", per_layer=200e-6),
    "neuron": _static("neuron", host=1e-3, per_layer=50e-6),
    "jax": _static("jax", per_layer=20e-6, spread=0.4),
}


@cache
def generation_engines() -> dict[str, Engine]:
    """Engines for static batches by name, as fitted."""
    found = dict(_DEFAULTS)
    for name, values in coefficients("generation").get("engines", {}).items():
        found[name] = _static(name, **values)
    return found
