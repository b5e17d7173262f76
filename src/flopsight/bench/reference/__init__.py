"""A plain decoder of our own, for machines without transformers: Llama, Mistral, Qwen2, Qwen3, Mixtral, GPT-2.

Its modules carry the names of the ledger's parts (and its tensors those of the checkpoints), so that every part can be
timed, the attention core and the activation too.
"""

from __future__ import annotations

from flopsight.bench.reference.cache import Cache
from flopsight.bench.reference.gpt2 import Gpt2
from flopsight.bench.reference.llama import Llama
from flopsight.bench.reference.shape import FAMILIES, Shape, shape_of

__all__ = ["FAMILIES", "Cache", "Gpt2", "Llama", "Shape", "decoder", "shape_of"]


def decoder(shape: Shape) -> Gpt2 | Llama:
    """The decoder of a shape, weights as torch initializes them."""
    return Gpt2(shape) if shape.family == "gpt2" else Llama(shape)
