"""Megatron-LM's num_floating_point_operations."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View

PAD = 128


def terms(v: View) -> Terms:
    """Multiplied weights without the router, the head with padded vocabulary, half the square."""
    padded = -(-v.vocab // PAD) * PAD
    head = 2 * v.passes * v.width * padded if v.head else 0
    return weights(v, "linear") | {"head": head, "attention": v.passes * v.square() // 2}


CONVENTION = Convention(
    "megatron",
    "Megatron-LM",
    "6·(Nm − router, V padded to 128) + 6·L·H·D·S",
    "NVIDIA/Megatron-LM:megatron/training/training.py num_floating_point_operations",
    terms,
    note="Windows are not applied; vocabulary padding also depends on tensor parallelism.",
)
