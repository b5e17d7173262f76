"""dot_general: two FLOPs for each element of the result and each element that is summed for it.

required leaves out the multiply-adds that a mask makes void: where an operand is known to be zero outside of a band
(probabilities under a causal mask), and where nobody reads the result outside of one (scores before the mask).
"""

from __future__ import annotations

from math import prod

from flopsight.counted import Flops
from flopsight.jax.band import Band
from flopsight.jax.need import NOTHING
from flopsight.jax.registry import Call, formula


@formula("dot_general")
def dot_general(call: Call) -> Flops:
    """[batch, rows, inner] times [batch, inner, columns]: 2·batch·rows·inner·columns."""
    (contracted, _), _ = call.params["dimension_numbers"]
    left = call.shape(0)
    whole = 2 * prod(call.out) * prod(left[d] for d in contracted)
    return Flops(min(whole, *_required(call, whole)), whole, whole)


def _required(call: Call, whole: int) -> list[int]:
    """`whole` cut to each band that is known."""
    parts = [_cut(whole, band, shape) for band, shape in _zeros(call)]
    if isinstance(call.need, Band):
        parts.append(_cut(whole, call.need, call.out))
    return [*parts, 0] if call.need is NOTHING else [*parts, whole]


def _zeros(call: Call) -> list[tuple[Band, tuple[int, ...]]]:
    """The bands outside of which an operand is zero."""
    return [
        (fact.support, call.shape(position)) for position, fact in enumerate(call.facts[:2]) if fact.support is not None
    ]


def _cut(whole: int, band: Band, shape: tuple[int, ...]) -> int:
    rows, columns = shape[band.row], shape[band.column]
    return whole // (rows * columns) * max(0, band.area(rows, columns)) if whole else 0
