"""A dense transformer known by its size alone: "dense:1T"."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any, Final

from flopsight.errors import UsageError

SHAPES: Final = (
    (124e6, 12, 768), (1.24e9, 16, 2048), (8.03e9, 32, 4096), (70.55e9, 80, 8192), (405.9e9, 126, 16384),
    (1008e9, 128, 25600),
)  # fmt: skip
"""Parameters, layers and width of GPT-2, of Llama 3.2 1B, of Llama 3.1 (arXiv 2407.21783, table 3) and of
Megatron-LM's one-trillion model (arXiv 2104.04473, table 1): between them, both go with a power of the size."""
LEAST: Final = 10**8
MOST: Final = 10**14
VOCABULARY: Final = ((10**10, 128_256), (0, 32_000))
HEAD: Final = 128
UNITS: Final = ((48 * HEAD, 32 * HEAD), (12 * HEAD, 8 * HEAD), (0, HEAD))
"""Widths from the first are multiples of the second, so that heads can be shared among devices."""
KV_HEADS: Final = 8
STEP: Final = 128
"""Inner widths are multiples of it, so that they can be shared among devices."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?(?:e\+?\d{1,2})?)\s*([kMBGT]?)", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}


def plain_size(name: str) -> int | None:
    """The parameters that "dense:1T", "dense:70B" or "dense:1e12" stands for; None for any other name.

    UsageError where what follows "dense:" is no size.
    """
    if not name.lower().startswith("dense:"):
        return None
    found = _SIZE.fullmatch(name[6:].strip())
    if found is None:
        raise UsageError(f"A size such as dense:70B, dense:1T or dense:1e12 was expected, and {name[:40]!r} was read.")
    return size_of(float(found.group(1)) * _UNITS[found.group(2).lower()])


def size_of(params: float) -> int:
    """A number of parameters that a dense model can be made of; UsageError for any other."""
    if not math.isfinite(params) or not LEAST <= params <= MOST:
        raise UsageError(f"A dense model has from 100M to 100T parameters here; got {params:g}.")
    return round(params)


def plain_config(params: int) -> dict[str, Any]:
    """The config of a Llama-like model of about so many parameters.

    Layers L and width d lie on lines through published models, log against log; the inner width f of the gated
    feed-forward is what then makes the size: N = 2·V·d + L·(2·d² + 2·d·(8·128) + 3·d·f).
    """
    layers, width = _between(params)
    vocabulary = next(v for least, v in VOCABULARY if params >= least)
    kv = math.gcd(KV_HEADS, width // HEAD)
    attention = 2 * width * width + 2 * width * kv * HEAD
    inner = ((params - 2 * vocabulary * width) / layers - attention) / (3 * width)
    return {
        "model_type": "llama", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": width // HEAD,
        "num_key_value_heads": kv, "intermediate_size": max(1, round(inner / STEP)) * STEP,
        "vocab_size": vocabulary, "max_position_embeddings": 131_072, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }  # fmt: skip


def _between(params: int) -> tuple[int, int]:
    """Layers and width of this size; the first and last pair of published models reach beyond their ends."""
    x = math.log(params)
    pairs = list(pairwise(SHAPES))
    low, high = next(((a, b) for a, b in pairs if params <= b[0]), pairs[-1])
    t = (x - math.log(low[0])) / (math.log(high[0]) - math.log(low[0]))
    layers, width = (math.exp(math.log(low[i]) * (1 - t) + math.log(high[i]) * t) for i in (1, 2))
    unit = next(unit for least, unit in UNITS if width >= least)
    return max(1, round(layers)), max(1, round(width / unit)) * unit


def plain_name(params: int) -> str:
    """dense:1T, which `plain_size` reads back."""
    for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if params >= size:
            return f"dense:{params / size:g}{letter}"
    return f"dense:{params}"


def plain_note(params: int) -> str:
    """Which shape was taken for the size."""
    c = plain_config(params)
    return (
        f"{plain_name(params)} is taken to be a Llama-like decoder of {c['num_hidden_layers']} layers, width "
        f"{c['hidden_size']:,}, inner width {c['intermediate_size']:,}, {c['num_attention_heads']} heads over "
        f"{c['num_key_value_heads']} for keys and values, {c['vocab_size']:,} words."
    )
