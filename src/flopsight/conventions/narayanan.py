"""Narayanan et al. 2021: the count behind Megatron-LM's tables of 2020 and 2021, full recomputation in."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """96·l·h²·(1 + s/(6h) + V/(16·l·h)): four passes over the layers, three over the logits."""
    layers = v.layers * v.width
    return {"linear": 96 * layers * v.width, "attention": 16 * layers * v.seq, "head": 6 * v.vocab * v.width}


CONVENTION = Convention(
    "narayanan",
    "Narayanan et al. 2021 (hardware FLOPs, full recompute)",
    "96·l·h² + 16·l·h·s + 6·V·h",
    "arXiv 2104.04473, equation 3",
    terms,
    note="An HFU: the forward pass of the layers is counted twice. Takes f = 4h and one key-value head a head.",
)
