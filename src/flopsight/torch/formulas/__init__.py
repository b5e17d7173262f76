"""Formulas of contractions, one file a family; importing this fills the table."""

from flopsight.torch.formulas import attention, convolution, matmul

__all__ = ["attention", "convolution", "matmul"]
