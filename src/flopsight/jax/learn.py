"""What is known of a primitive's results from what is known of its operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flopsight.jax.band import Band
from flopsight.jax.fact import GRADIENT, UNKNOWN, Fact, Value, banded, constant
from flopsight.jax.fold import FOLDABLE, fold

_COMPARE: Final = frozenset({"ge", "gt", "le", "lt", "eq"})
_MIRROR: Final = {"ge": "le", "gt": "lt", "le": "ge", "lt": "gt", "eq": "eq"}
_SETTLED: Final = frozenset({"mul", "and", "or", "div", "rem"})
"""What one known operand can settle everywhere; a large negative one settles a sum only where it is a mask's."""
_IDEMPOTENT: Final = frozenset({"reduce_max", "reduce_min", "reduce_and", "reduce_or"})


def learn(eqn: Any, facts: Sequence[Fact]) -> Fact:
    """What is known of the first result; a primitive of several results is not looked into."""
    op = eqn.primitive.name
    found = _RULES[op](eqn, facts) if op in _RULES else elementwise(eqn, facts) if op in FOLDABLE else UNKNOWN
    if any(fact.gradient for fact in facts):
        return GRADIENT if found is UNKNOWN else found.tainted()
    return found


def elementwise(eqn: Any, facts: Sequence[Fact]) -> Fact:
    """Fold what is inside and what is outside of the one band that the operands have."""
    op, params = eqn.primitive.name, eqn.params
    shape = _shape(eqn.outvars[0])
    as_index = _of_indices(op, facts, shape)
    if as_index is not None:
        return as_index
    bands = {fact.band for fact in facts if fact.band is not None}
    if len(bands) == 2 and op in ("and", "mul"):
        return _both(op, facts)
    if len(bands) > 1:
        return UNKNOWN
    band = next(iter(bands), None)
    values = [fact.inside for fact in facts]
    if band is None and None in values and op not in _SETTLED:
        return UNKNOWN
    inside = fold(op, values, params)
    return banded(band, inside, inside if band is None else fold(op, [fact.outside for fact in facts], params))


def select(eqn: Any, facts: Sequence[Fact]) -> Fact:
    """select_n(which, case of False, case of True): the mask's band decides which."""
    which, *cases = facts
    if len(cases) != 2 or any(case.band not in (None, which.band) for case in cases):
        return UNKNOWN
    if which.value is not None:
        return cases[bool(which.value)]
    if which.band is None:
        return UNKNOWN
    inside, outside = [case.inside for case in cases], [case.outside for case in cases]
    return banded(which.band, _picked(which.inside, inside), _picked(which.outside, outside))


def _picked(which: Value | None, values: Sequence[Value | None]) -> Value | None:
    if which is None:
        return values[0] if values[0] == values[1] else None
    return values[bool(which)]


def _both(op: str, facts: Sequence[Fact]) -> Fact:
    """Two masks that are false (or zero) outside of a band: what is in both bands."""
    first, second = (fact.support for fact in facts)
    band = None if first is None or second is None else first.meet(second)
    if band is None:
        return UNKNOWN
    values = [fact.inside if fact.outside == 0 else fact.outside for fact in facts]
    return banded(band, fold(op, values, {}), False if isinstance(values[0], bool) else 0.0)


def _of_indices(op: str, facts: Sequence[Fact], shape: tuple[int, ...]) -> Fact | None:
    """Sums and comparisons of indices; None where the operands are no indices."""
    if all(fact.index is None for fact in facts) or len(facts) > 2:
        return None
    if op in ("convert_element_type", "stop_gradient", "copy"):
        return facts[0]
    terms = [fact.affine for fact in facts]
    if len(terms) != 2 or terms[0] is None or terms[1] is None:
        return None
    if op in ("add", "sub"):
        return Fact(index=_sum(terms[0], terms[1], 1 if op == "add" else -1))
    if op == "mul" and not (terms[0][0] and terms[1][0]):
        (many, one) = (terms[0], terms[1][1]) if terms[0][0] else (terms[1], terms[0][1])
        return Fact(index=(tuple((d, c * one) for d, c in many[0]), many[1] * one))
    return _compare(op, _sum(terms[0], terms[1], -1), shape) if op in _COMPARE else None


def _sum(a: Any, b: Any, sign: int) -> Any:
    total = dict(a[0])
    for dimension, times in b[0]:
        total[dimension] = total.get(dimension, 0) + sign * times
    return tuple(sorted((d, c) for d, c in total.items() if c)), a[1] + sign * b[1]


def _compare(op: str, difference: Any, shape: tuple[int, ...]) -> Fact | None:
    """`difference` op 0, where the difference is i - j + k along two dimensions."""
    terms, offset = difference
    if not terms:
        return constant(fold(op, (offset, 0), {}))
    if len(terms) != 2 or {c for _, c in terms} != {1, -1}:
        return None
    (row, times), (column, _) = terms
    if times < 0:
        op, offset = _MIRROR[op], -offset
    low = {"ge": -offset, "gt": 1 - offset, "eq": -offset}.get(op)
    high = {"le": -offset, "lt": -1 - offset, "eq": -offset}.get(op)
    return _trimmed(Band(row, column, low, high), shape)


def _trimmed(band: Band, shape: tuple[int, ...]) -> Fact:
    """A mask; one that is true or false everywhere is a constant."""
    rows, columns = shape[band.row], shape[band.column]
    area = band.area(rows, columns)
    return constant(area > 0) if area in (0, rows * columns) or area < 0 else banded(band, True, False)


def _moved(fact: Fact, to: Mapping[int, int], kept: bool = True) -> Fact:
    """The fact after dimension d has become to[d]; dimensions that are missing in `to` have one element, if `kept`."""
    if fact.index is not None and kept:
        terms, offset = fact.index
        return Fact(index=(tuple(sorted((to[d], c) for d, c in terms if d in to)), offset))
    if fact.band is None:
        return constant(fact.value)
    return banded(fact.band.moved(to), fact.inside, fact.outside) if fact.band.moved(to) else UNKNOWN


def _iota(eqn: Any, facts: Sequence[Fact]) -> Fact:
    del facts
    dimension = int(eqn.params["dimension"])
    return Fact(index=(((dimension, 1),), 0) if eqn.params["shape"][dimension] != 1 else ((), 0))


def _broadcast(eqn: Any, facts: Sequence[Fact]) -> Fact:
    before, after = _shape(eqn.invars[0]), _shape(eqn.outvars[0])
    dims = [int(d) for d in eqn.params["broadcast_dimensions"]]
    return _moved(facts[0], {d: to for d, to in enumerate(dims) if before[d] == after[to]})


def _transpose(eqn: Any, facts: Sequence[Fact]) -> Fact:
    return _moved(facts[0], {int(d): to for to, d in enumerate(eqn.params["permutation"])})


def _reshape(eqn: Any, facts: Sequence[Fact]) -> Fact:
    moves = reshaped(eqn)
    fact = facts[0]
    if fact.index is not None and any(d not in moves for d, _ in fact.index[0]):
        return UNKNOWN
    return _moved(fact, moves)


def reshaped(eqn: Any) -> dict[int, int]:
    """Which dimensions a reshape (or squeeze, expand_dims) keeps as they are, and where they end up."""
    if eqn.params.get("dimensions") is not None and eqn.primitive.name == "reshape":
        return {}
    before, after = _shape(eqn.invars[0]), _shape(eqn.outvars[0])
    places: dict[tuple[int, int], int] = {}
    left = 1
    for to, size in enumerate(after):
        if size != 1:
            places[(left, size)] = to
        left *= size
    moves, left = {}, 1
    for d, size in enumerate(before):
        if size != 1 and (left, size) in places:
            moves[d] = places[(left, size)]
        left *= size
    return moves


def _slice(eqn: Any, facts: Sequence[Fact]) -> Fact:
    fact, starts = facts[0], eqn.params["start_indices"]
    if any(step != 1 for step in eqn.params["strides"] or ()):
        return constant(fact.value)
    if fact.index is not None:
        terms, offset = fact.index
        return Fact(index=(terms, offset + sum(c * starts[d] for d, c in terms)))
    if fact.band is None:
        return constant(fact.value)
    return banded(fact.band.shifted(starts[fact.band.row] - starts[fact.band.column]), fact.inside, fact.outside)


def _reduced(eqn: Any, facts: Sequence[Fact]) -> Fact:
    fact, axes = facts[0], {int(d) for d in eqn.params["axes"]}
    kept = [d for d in range(len(_shape(eqn.invars[0]))) if d not in axes]
    same = eqn.primitive.name in _IDEMPOTENT
    if fact.index is not None or (fact.band is not None and {fact.band.row, fact.band.column} & axes):
        return UNKNOWN
    keep = _moved(fact, {d: to for to, d in enumerate(kept)})
    if same:
        return keep
    return banded(keep.band, None, 0.0) if keep.band is not None and keep.outside == 0 else UNKNOWN


_RULES: Final[dict[str, Callable[[Any, Sequence[Fact]], Fact]]] = {
    "iota": _iota, "broadcast_in_dim": _broadcast, "transpose": _transpose, "reshape": _reshape,
    "squeeze": _reshape, "expand_dims": _reshape, "slice": _slice, "select_n": select, "reduce_sum": _reduced,
    **dict.fromkeys(_IDEMPOTENT, _reduced),
}  # fmt: skip


def _shape(var: Any) -> tuple[int, ...]:
    return tuple(var.aval.shape)
