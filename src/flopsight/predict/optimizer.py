"""What an optimizer stores and moves, a parameter."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

from flopsight.errors import UsageError


@dataclass(frozen=True, slots=True)
class Optimizer:
    """Bytes a parameter of a bf16 model, gradients left out.

    state   kept: fp32 master weights and moments
    moved   read and written in a step: states both ways, the bf16 weight once
    """

    name: str
    state: float
    moved: float


OPTIMIZERS: Final = {
    "adam": Optimizer("adam", 12.0, 26.0),
    "adam_no_master": Optimizer("adam_no_master", 8.0, 20.0),
    "adam_bf16": Optimizer("adam_bf16", 8.0, 18.0),
    "adam_8bit": Optimizer("adam_8bit", 6.0, 14.0),
    "lion": Optimizer("lion", 8.0, 18.0),
    "sgd_momentum": Optimizer("sgd_momentum", 8.0, 18.0),
    "sgd": Optimizer("sgd", 4.0, 10.0),
    "adafactor": Optimizer("adafactor", 4.0, 10.0),
}
"""adam: master 4, two moments 4 each (Rajbhandari et al. 2020, arXiv 1910.02054, section 3.1: K = 12); moved 2·12 + 2.

no_master drops the fp32 copy, bf16 keeps the moments in 16 bits, 8bit in 8; lion and momentum have one moment;
adafactor's factored moments are small.
"""


def optimizer(name: str) -> Optimizer:
    """The optimizer of this name; UsageError with the known ones."""
    key = name.strip().lower().replace("adamw", "adam").replace("-", "_")
    if key not in OPTIMIZERS:
        near = difflib.get_close_matches(key, OPTIMIZERS, n=2)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"No optimizer is called {name[:40]!r}. {hint}Known are {', '.join(OPTIMIZERS)}.")
    return OPTIMIZERS[key]
