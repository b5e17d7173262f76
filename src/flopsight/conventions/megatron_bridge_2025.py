"""Megatron-Bridge before release 26.06, and its count for LoRA."""

from __future__ import annotations

from fractions import Fraction

from flopsight.conventions.convention import Convention, Terms, weights
from flopsight.conventions.megatron_bridge import known, mamba
from flopsight.conventions.view import View


def terms(v: View) -> Terms:
    """No windows, and two matrices an expert where the gate is not a plain SiLU (gpt-oss clips it)."""
    unseen = sum(part.visited * part.width * part.inner * times for part, times in v.experts) if _clipped(v) else 0
    named = weights(v, "linear", "head")
    return (
        named | {"linear": named["linear"] - 2 * v.passes * unseen, "attention": v.passes * v.square() // 2} | mamba(v)
    )


def _clipped(v: View) -> bool:
    return v.book.model.family == "gpt_oss"


def lora_terms(v: View) -> Terms:
    """Frozen weights: forward and the gradient of the inputs, two passes of the three; packed examples are short."""
    return {name: Fraction(2, 3) * value for name, value in weights(v, "linear", "head").items()}


CONVENTION = Convention(
    "megatron-bridge-2025",
    "Megatron-Bridge before 26.06",
    "6·(Nm − router) + 6·L·H·D·S",
    "NVIDIA-NeMo/Megatron-Bridge:src/megatron/bridge/training/utils/flop_utils.py at 25.09 to 26.04.01",
    terms,
    note="Differs from the later count for gpt-oss only: windows are not applied, and its experts count two matrices.",
    applies=known,
)
LORA = Convention(
    "megatron-bridge-lora",
    "Megatron-Bridge, LoRA",
    "4·(Nm − router)",
    "NVIDIA-NeMo/Megatron-Bridge:src/megatron/bridge/training/utils/flop_utils.py transformer_flops, is_lora",
    lora_terms,
    note="Adapters are not counted; attention over packed examples (0.3 % for SQuAD) is left out here.",
    listed=False,
)
