"""PyTorch's FlopCounterMode on CUDA with flash attention; Lightning's measure_flops calls it."""

from __future__ import annotations

from fractions import Fraction

from flopsight.conventions.convention import ALL, Convention, Terms, weights
from flopsight.conventions.view import View


def _attention(v: View) -> Fraction:
    # forward 2 matmuls over the square; the fused backward is counted as the 5 that it runs
    return Fraction(7, 2) * v.square() if v.passes == 3 else Fraction(v.square())


def terms(v: View) -> Terms:
    """Every matmul that runs, the square in full, the fused backward at 2.5 times the forward."""
    return weights(v, "linear", "router", "head") | {"attention": _attention(v)}


def blind_terms(v: View) -> Terms:
    """The same where the experts run as grouped_mm, which the counter does not know."""
    routed = sum(part.visited * (2 + part.gated) * part.width * part.inner * times for part, times in v.experts)
    return dict(terms(v)) | {"linear": 2 * v.passes * (v.linear - routed)}


CONVENTION = Convention(
    "flop-counter-mode",
    "FlopCounterMode (CUDA, flash), Lightning measure_flops",
    "6·Nm + 14·L·H·D·S (2·Nm + 4·L·H·D·S forward)",
    "pytorch/pytorch:torch/utils/flop_counter.py; "
    "Lightning-AI/pytorch-lightning:src/lightning/fabric/utilities/throughput.py",
    terms,
    ALL,
    note="On CPU its attention is 0; on the meta device it is 12 instead of 14.",
)
BLIND = Convention(
    "flop-counter-mode-grouped",
    "FlopCounterMode, experts as grouped_mm",
    "the same without the routed experts",
    "pytorch/pytorch:torch/utils/flop_counter.py (no formula for _grouped_mm in 2.13)",
    blind_terms,
    ALL,
    applies=lambda v: bool(v.experts),
)
