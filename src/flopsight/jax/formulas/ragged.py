"""Ragged products: each row meets the matrix of its own group only, however many groups there are.

Group sizes are values, unknown while tracing: every row is taken to be in a group. XLA on some devices runs them
densely over all groups; that is not in `executed`.
"""

from __future__ import annotations

from math import prod

from flopsight.counted import Flops
from flopsight.jax.registry import Call, formula, same


@formula("ragged_dot_general", "ragged_dot")
def ragged_dot(call: Call) -> Flops:
    """[rows, inner] times [groups, inner, columns], rows by group: 2·rows·inner·columns.

    Where the ragged dimension is summed (the gradient of the matrices) the result is [groups, ...] and each row is in
    one of them only.
    """
    left, out = call.shape(0), call.out
    numbers = call.params.get("ragged_dot_dimension_numbers")
    if numbers is None:
        return same(2 * prod(out) * left[1])
    (contracted, _), _ = numbers.dot_dimension_numbers
    ragged = set(numbers.lhs_ragged_dimensions)
    groups = call.shape(2)[-1] if ragged & {int(d) for d in contracted} else 1
    whole = 2 * prod(out) * prod(left[d] for d in contracted)
    return same(whole // groups if groups else 0)
