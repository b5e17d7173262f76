"""verl's flops_counter."""

from __future__ import annotations

from flopsight.conventions.convention import ALL, Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Multiplied weights, the embedding as if it were multiplied, half the square; windows at half their area."""
    named = weights(v, "linear", "router", "head")
    table = 2 * v.passes * v.vocab * v.width
    return named | {"embedding": table, "attention": v.passes * v.square(windows=True) // 2}


CONVENTION = Convention(
    "verl",
    "verl",
    "6·(Nm + V·h) + 6·L·H·D·S (a third of it for inference)",
    "verl-project/verl:verl/utils/flops_counter.py",
    terms,
    ALL,
    note="A windowed layer counts S·min(S, W)/2, half of what it needs when W is much shorter than S.",
)
