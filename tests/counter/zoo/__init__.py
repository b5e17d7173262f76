"""Twenty-five tiny models with random weights, each with its FLOPs as a closed form written by hand."""

from __future__ import annotations

from . import adapted, blocks, dense, encoders, experts, recurrent
from .running import forward, ready, step
from .specimen import Specimen

SPECIMENS: tuple[Specimen, ...] = (
    *dense.SPECIMENS, *experts.SPECIMENS, *recurrent.SPECIMENS, *encoders.SPECIMENS, *blocks.SPECIMENS,
    *adapted.SPECIMENS,
)  # fmt: skip
BY_NAME = {specimen.name: specimen for specimen in SPECIMENS}

__all__ = ["BY_NAME", "SPECIMENS", "Specimen", "forward", "ready", "step"]
