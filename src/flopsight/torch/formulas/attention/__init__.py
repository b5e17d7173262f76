"""Attention kernels, one file a family: scores and mix over the query-key pairs that a mask lets through."""

from flopsight.torch.formulas.attention import dense, efficient, flash

__all__ = ["dense", "efficient", "flash"]
