"""Factorizations whose FLOPs have a closed form, by the counts of LAPACK Working Note 41, appendix C."""

from __future__ import annotations

from math import prod

from flopsight.counted import Flops
from flopsight.jax.registry import Call, formula, same


@formula("cholesky")
def cholesky(call: Call) -> Flops:
    """[.., n, n]: n³/3 + n²/2 + n/6."""
    *batch, n, _ = call.shape(0)
    return same(prod(batch) * (n * (n + 1) * (2 * n + 1) // 6))


@formula("triangular_solve")
def triangular_solve(call: Call) -> Flops:
    """An [n, n] triangle against m columns: n²·m."""
    *_, n, _ = call.shape(0)
    return same(prod(call.shape(1)) * n)
