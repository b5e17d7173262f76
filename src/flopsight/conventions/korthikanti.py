"""Korthikanti et al. 2022: model FLOPs in Megatron-LM's later tables, and the same with selective recomputation."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """72·L·h²·(1 + s/(6h) + V/(12·L·h)): the whole score square, heads and f are not read."""
    layers = v.layers * v.width
    return {"linear": 72 * layers * v.width, "attention": 12 * layers * v.seq, "head": 6 * v.vocab * v.width}


def selective_terms(v: View) -> Terms:
    """72·L·h²·(1 + s/(3h) + V/(12·L·h)): the attention term doubled, though one more forward pass is a third of it."""
    return dict(terms(v)) | {"attention": 24 * v.layers * v.width * v.seq}


CONVENTION = Convention(
    "korthikanti",
    "Korthikanti et al. 2022 (model FLOPs)",
    "72·L·h² + 12·L·h·s + 6·V·h",
    "arXiv 2205.05198, appendix A, equation 7",
    terms,
    note="Takes f = 4h and one key-value head a head.",
)
SELECTIVE = Convention(
    "korthikanti-selective",
    "Korthikanti et al. 2022 (hardware FLOPs, selective recompute)",
    "72·L·h² + 24·L·h·s + 6·V·h",
    "arXiv 2205.05198, appendix A, equation 8",
    selective_terms,
    note="An HFU: doubles the attention term; one more forward pass would be 16·L·h·s.",
)
