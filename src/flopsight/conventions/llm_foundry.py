"""llm-foundry's MPT: the count behind Composer's speed monitor."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """Active parameters, an untied input embedding left out, and 12·L·h·S with the model width for the heads'."""
    named = weights(v, "linear", "router", "head", "positions", "small")
    return named | {"attention": v.passes * 4 * v.layers * v.width * v.seq}


CONVENTION = Convention(
    "llm-foundry",
    "llm-foundry (MPT)",
    "6·N_act + 12·L·h·S",
    "mosaicml/llm-foundry:llmfoundry/models/mpt/modeling_mpt.py flops_per_batch",
    terms,
    note="The bench script multiplies by 4/3 for HFU when activation checkpointing is on.",
)
