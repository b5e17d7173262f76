"""Formulas of contractions, one file a family; importing this fills the table."""

from flopsight.torch.formulas import (
    attention,
    convolution,
    elsewhere,
    fused,
    grouped,
    linalg,
    matmul,
    quantized,
    recurrent,
    sparse,
)

__all__ = [
    "attention", "convolution", "elsewhere", "fused", "grouped", "linalg", "matmul", "quantized", "recurrent", "sparse",
]  # fmt: skip
