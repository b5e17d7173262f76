"""Formulas of contractions, one file a family; importing this fills the table."""

from flopsight.jax.formulas import convolution, fused, linalg, product, ragged

__all__ = ["convolution", "fused", "linalg", "product", "ragged"]
