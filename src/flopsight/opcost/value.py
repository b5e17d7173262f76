"""What one call of an op costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopsight.counted import Flops

NONE: Final = Flops(0, 0, 0)


@dataclass(frozen=True, slots=True)
class OpCost:
    """One call.

    kind          "gemm", "attention", "convolution", "normalization", "softmax", "elementwise", "reduction",
                  "embedding", "copy", "index", "random", "optimizer", "loss", "sort", or "shape" for no work at all
    engine        "matrix", "vector", "copy" or "none"
    dtype         number format that it computes in; "" where the record does not tell
    flops         of the matrix engine
    elementwise   operations on elements
    reads, writes bytes that must move at least: each operand once; -1 where a size is not known
    product       (batch, m, n, k) of a matrix product [m, k] x [k, n]
    note          what had to be assumed
    """

    kind: str
    engine: str = "vector"
    dtype: str = ""
    flops: Flops = NONE
    elementwise: int = 0
    reads: int = 0
    writes: int = 0
    product: tuple[int, int, int, int] | None = None
    note: str = ""


SHAPE: Final = OpCost("shape", "none")
"""A view, an allocation, a question: nothing runs on a device."""
