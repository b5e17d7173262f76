"""Training software: what each adds to the time of its kernels, by class, from the calibration file.

Not one number here belongs to a single run or model: a class's constants are fitted on half of the published runs and
judged on the other half (`predict/data/train.json`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from statistics import median
from typing import Any, Final, TypeAlias

from flopsight.errors import UsageError
from flopsight.predict.device import Device
from flopsight.predict.kernels.roofline import coefficients

Clocks: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Framework:
    """One class of training software.

    kernels     time of its kernels over that of the best known ones
    attention   the same of its attention, over those and beyond `kernels`: generations of kernels differ more
    vector      bytes of its norms, activations and casts over those of fused ones
    launch      host seconds a kernel; a pass takes at least launches x this
    step        host seconds a step: data loader, optimizer's Python, logging
    tp_hidden   share of tensor-parallel exchange behind matrix products
    ep_hidden   share of expert exchange behind other work
    p2p_hidden  share of sends between pipeline stages behind compute
    overlap     how much compute a second of data-parallel exchange can hide behind, per second
    exchange    time of its data-parallel exchange over that of large messages on a quiet network
    flash       attention is fused; else the square of scores is stored (Korthikanti et al. 2022)
    reruns      share of the dense forward that its selective recompute runs again
    spread      standard deviation of log(measured / predicted) of a step
    source      where the numbers come from
    """

    name: str
    kernels: float = 1.0
    attention: float = 1.0
    vector: float = 1.0
    launch: float = 0.0
    step: float = 0.0
    tp_hidden: float = 0.0
    ep_hidden: float = 0.0
    p2p_hidden: float = 0.5
    overlap: float = 0.8
    exchange: float = 1.0
    flash: bool = True
    reruns: float = 0.0
    spread: float = 0.25
    source: str = "assumed"


DEFAULT: Final = "generic"
PRIORS: Final = {
    "generic": Framework("generic", launch=5e-6, tp_hidden=0.3, ep_hidden=0.3),
    "megatron": Framework("megatron", launch=4e-6, tp_hidden=0.6, ep_hidden=0.3, p2p_hidden=0.8),
    "megatron-2025": Framework("megatron-2025", launch=6e-6, tp_hidden=0.5, ep_hidden=0.1, p2p_hidden=0.8, vector=1.5),
    "megatron-2021": Framework("megatron-2021", launch=4e-6, flash=False, p2p_hidden=0.0, overlap=0.0),
    "megascale": Framework("megascale", tp_hidden=0.7, p2p_hidden=0.9),
    "llm-foundry": Framework("llm-foundry", launch=8e-6, vector=2.0),
    "torchtitan": Framework("torchtitan", launch=2e-6, reruns=0.3),
    "torchtitan-eager": Framework("torchtitan-eager", launch=8e-6, vector=2.0, reruns=0.3),
    "maxtext": Framework("maxtext", tp_hidden=0.7, ep_hidden=0.5, overlap=0.9),
    "deepspeed": Framework("deepspeed", launch=6e-6, vector=1.5, flash=False, overlap=0.5, exchange=3.0),
    "neuron": Framework("neuron", tp_hidden=0.3),
    "hf": Framework("hf", launch=10e-6, vector=2.5, overlap=0.5),
}
"""Before calibration; `predict/data/train.json` replaces what was fitted."""
NAMES: Final = frozenset(f.name for f in fields(Framework))


def framework(name: str) -> Framework:
    """The class of this name, calibrated where runs stand behind it; UsageError with the nearest names."""
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    if key not in frameworks():
        near = difflib.get_close_matches(key, frameworks(), n=3)
        hint = f"Did you mean {', '.join(near)}? " if near else ""
        raise UsageError(f"No framework is called {name[:40]!r}. {hint}Known are {', '.join(frameworks())}.")
    return frameworks()[key]


@cache
def frameworks() -> dict[str, Framework]:
    """Every class by name."""
    found = dict(PRIORS)
    fitted: dict[str, dict[str, Any]] = coefficients("train").get("frameworks", {})
    for name, values in fitted.items():
        base = found.get(name, Framework(name))
        kept = {f.name: getattr(base, f.name) for f in fields(Framework)}
        found[name] = Framework(**(kept | {k: v for k, v in values.items() if k in NAMES}))
    return found


def sustained(device: Device) -> Clocks:
    """Time of a kernel in a long run over that of a short burst: power and clocks, by family and width.

    Keys are 16, 8 and 4 (bits of a matrix product), routed (experts, on top of those), attention and scan.
    """
    return filled(coefficients("train").get("sustained", {}), device.family)


def filled(table: Mapping[str, Clocks], family: str) -> Clocks:
    """A family's factors; what was not fitted for it is the median of the families for which it was."""
    own = table.get(family, {})
    keys = {key for one in table.values() for key in one}
    return {key: own[key] if key in own else median(one[key] for one in table.values() if key in one) for key in keys}


def width_of(compute: str) -> str:
    """The class of a format: "16", "8" or "4" bits."""
    return {"fp8": "8", "mxfp8": "8", "int8": "8", "fp4": "4", "nvfp4": "4", "mxfp4": "4"}.get(compute, "16")
