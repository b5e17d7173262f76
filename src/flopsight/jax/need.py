"""Which elements of an operand a primitive needs, given which elements of its result are read later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final

from flopsight.jax.band import Band
from flopsight.jax.fact import Fact
from flopsight.jax.fold import FOLDABLE, fold
from flopsight.jax.learn import reshaped


class Whole(Enum):
    """Nothing or everything."""

    NOTHING = 0
    ALL = 1


NOTHING: Final = Whole.NOTHING
ALL: Final = Whole.ALL
Need = Whole | Band


def either(a: Need, b: Need) -> Need:
    """Elements that one or the other reader needs; a little more where that is no band."""
    if a is NOTHING or a == b:
        return b
    if b is NOTHING:
        return a
    if isinstance(a, Band) and isinstance(b, Band):
        return a.hull(b) or ALL
    return ALL


def within(need: Need, band: Band | None) -> Need:
    """What of a need lies in a band."""
    if band is None or need is NOTHING:
        return need
    if isinstance(need, Band):
        return need.meet(band) or need
    return band


def needs(eqn: Any, facts: Sequence[Fact], need: Need) -> tuple[Need, ...]:
    """What a primitive of one result needs of each operand to make `need` of it."""
    if need is NOTHING:
        return (NOTHING,) * len(facts)
    op = eqn.primitive.name
    if op in _RULES:
        return _RULES[op](eqn, facts, need)
    if op in FOLDABLE:
        return tuple(_elementwise(eqn, facts, need, position) for position in range(len(facts)))
    return (ALL,) * len(facts)


def _elementwise(eqn: Any, facts: Sequence[Fact], need: Need, position: int) -> Need:
    """An operand is not needed where the others settle the result: beside a zero factor, under a masked score."""
    operand = eqn.invars[position].aval
    if operand.shape != eqn.outvars[0].aval.shape:
        return ALL
    others = [fact for place, fact in enumerate(facts) if place != position and fact.band is not None]
    for band in {fact.band for fact in others}:
        same = [place != position and fact.band in (None, band) for place, fact in enumerate(facts)]
        outside = [fact.outside if ok else None for ok, fact in zip(same, facts, strict=True)]
        inside = [fact.inside if ok else None for ok, fact in zip(same, facts, strict=True)]
        if fold(eqn.primitive.name, outside, eqn.params) is not None:
            need = within(need, band)
        elif fold(eqn.primitive.name, inside, eqn.params) is not None and band is not None:
            need = within(need, band.complement())
    return need


def _select(eqn: Any, facts: Sequence[Fact], need: Need) -> tuple[Need, ...]:
    which, out = facts[0], eqn.outvars[0].aval.shape
    parts: list[Need] = [need if eqn.invars[0].aval.shape == out else ALL]
    for case, var in enumerate(eqn.invars[1:]):
        parts.append(_case(which, case, need) if var.aval.shape == out and len(facts) == 3 else ALL)
    return tuple(parts)


def _case(which: Fact, case: int, need: Need) -> Need:
    """The elements at which the mask picks this case."""
    if which.value is not None:
        return need if bool(which.value) == bool(case) else NOTHING
    if which.band is None:
        return need
    inside, outside = (value is None or bool(value) == bool(case) for value in (which.inside, which.outside))
    if inside and outside:
        return need
    return NOTHING if not inside and not outside else within(need, which.band if inside else which.band.complement())


def _back(moves: dict[int, int], need: Need) -> Need:
    """A need of the result, through dimensions that moved from d to moves[d]."""
    if not isinstance(need, Band):
        return need
    return need.moved({to: d for d, to in moves.items()}) or ALL


def _broadcast(eqn: Any, facts: Sequence[Fact], need: Need) -> tuple[Need, ...]:
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    dims = [int(d) for d in eqn.params["broadcast_dimensions"]]
    moves = {d: to for d, to in enumerate(dims) if before[d] == after[to]}
    return (_back(moves, need), *(ALL,) * (len(facts) - 1))


def _transpose(eqn: Any, facts: Sequence[Fact], need: Need) -> tuple[Need, ...]:
    return (_back({int(d): to for to, d in enumerate(eqn.params["permutation"])}, need),)


def _reshape(eqn: Any, facts: Sequence[Fact], need: Need) -> tuple[Need, ...]:
    return (_back(reshaped(eqn), need), *(ALL,) * (len(facts) - 1))


def _reduced(eqn: Any, facts: Sequence[Fact], need: Need) -> tuple[Need, ...]:
    axes = {int(d) for d in eqn.params["axes"]}
    kept = [d for d in range(len(eqn.invars[0].aval.shape)) if d not in axes]
    return (_back({d: to for to, d in enumerate(kept)}, need), *(ALL,) * (len(facts) - 1))


_RULES: Final[dict[str, Callable[[Any, Sequence[Fact], Need], tuple[Need, ...]]]] = {
    "select_n": _select, "broadcast_in_dim": _broadcast, "transpose": _transpose, "reshape": _reshape,
    "squeeze": _reshape, "expand_dims": _reshape, "reduce_sum": _reduced, "reduce_max": _reduced,
    "reduce_min": _reduced,
}  # fmt: skip
