"""vLLM's estimator behind its MFU metrics."""

from __future__ import annotations

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.view import View
from flopsight.parts.linear import Linear


def terms(v: View) -> Terms:
    """Three matrices in every feed-forward block, no router, attention over the whole context for every query."""
    dense = [
        one.times * one.part.inputs * one.part.outputs
        for one in v.book.leaves
        if isinstance(one.part, Linear) and one.part.kind == "mlp"
    ]
    third = sum(dense) // 2 if _two_matrices(v) else 0
    named = weights(v, "linear", "head")
    return named | {"linear": named["linear"] + 2 * v.passes * third, "attention": v.passes * v.square()}


def _two_matrices(v: View) -> bool:
    """Whether the dense feed-forward blocks hold two matrices, which the estimator takes for three."""
    paths = [one.path for one in v.book.leaves if isinstance(one.part, Linear) and one.part.kind == "mlp"]
    blocks = {path.rsplit(".", 1)[0] for path in paths}
    return bool(blocks) and len(paths) == 2 * len(blocks) and not any("gate" in path for path in paths)


CONVENTION = Convention(
    "vllm",
    "vLLM estimator",
    "2·(attention + 3·h·f·k + V·h) + 4·L·H·D·context",
    "vllm-project/vllm:vllm/v1/metrics/perf.py",
    terms,
    ("prefill", "decode"),
    note="A prefill is not halved for causality; no router; some quantizations drop parts of the model.",
)
