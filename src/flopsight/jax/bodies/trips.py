"""How many rounds a while loop makes: start, step and limit of the counter that its condition compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flopsight.jax.fact import Fact

_MIRROR: Final = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "ne": "ne"}
_SAME: Final = frozenset({"convert_element_type", "stop_gradient", "copy", "copy_p"})


@dataclass(frozen=True, slots=True)
class Loop:
    """A while loop: condition, body, how many of their operands are constants, what is known at the start."""

    cond: Any
    body: Any
    cond_consts: int
    body_consts: int
    start: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Trips:
    """Rounds; at most that many where not `exact`."""

    rounds: int
    exact: bool


def trips(loop: Loop, known: Mapping[Any, Fact]) -> Trips | None:
    """`known` are facts about the condition's variables; None where no comparison of a counter is found."""
    cond = _open(loop.cond)
    made = _makers(cond)
    tests = list(_tests(cond.outvars[0], made))
    limits = [_rounds(loop, test, made, known) for test in tests]
    found = [limit for limit in limits if limit is not None]
    return Trips(min(found), len(found) == len(limits)) if found else None


def _tests(var: Any, made: Mapping[Any, Any]) -> Iterator[Any]:
    """The equations that must all be true; None for one that is no comparison."""
    eqn = made.get(_through(var, made))
    if eqn is None:
        yield None
    elif eqn.primitive.name == "and":
        for operand in eqn.invars:
            yield from _tests(operand, made)
    else:
        yield eqn if eqn.primitive.name in _MIRROR else None


def _rounds(loop: Loop, test: Any, made: Mapping[Any, Any], known: Mapping[Any, Fact]) -> int | None:
    if test is None:
        return None
    op, (left, right) = test.primitive.name, test.invars
    for counter, limit, compare in ((left, right, op), (right, left, _MIRROR[op])):
        rounds = _count(loop, _through(counter, made), _value(limit, known), compare)
        if rounds is not None:
            return rounds
    return None


def _count(loop: Loop, counter: Any, limit: int | None, compare: str) -> int | None:
    """Rounds while `start + step·round` compares so with the limit."""
    inputs = list(_open(loop.cond).invars)
    if limit is None or counter not in inputs[loop.cond_consts :]:
        return None
    position = inputs.index(counter) - loop.cond_consts
    start, step = loop.start[position].value, _step(loop, position)
    if not isinstance(start, int) or not step:
        return None
    return _until(start, step, limit, compare)


def _until(start: int, step: int, limit: int, compare: str) -> int | None:
    distance = limit - start
    if compare == "ne":
        return distance // step if distance % step == 0 and distance // step >= 0 else None
    if (compare in ("lt", "le")) != (step > 0):
        return None if _holds(start, limit, compare) else 0
    if compare in ("le", "ge"):
        distance += 1 if step > 0 else -1
    return max(0, -(-distance // step))


def _holds(start: int, limit: int, compare: str) -> bool:
    return {"lt": start < limit, "le": start <= limit, "gt": start > limit, "ge": start >= limit}[compare]


def _step(loop: Loop, position: int) -> int | None:
    """What the body adds to this carry in each round."""
    body = _open(loop.body)
    made = _makers(body)
    own = body.invars[loop.body_consts + position]
    eqn = made.get(_through(body.outvars[position], made))
    if eqn is None or eqn.primitive.name not in ("add", "sub"):
        return None
    left, right = (_through(var, made) for var in eqn.invars)
    if left is own and _is_whole(right):
        return int(right.val) if eqn.primitive.name == "add" else -int(right.val)
    return int(left.val) if right is own and _is_whole(left) and eqn.primitive.name == "add" else None


def _makers(jaxpr: Any) -> dict[Any, Any]:
    return {var: eqn for eqn in jaxpr.eqns for var in eqn.outvars}


def _through(var: Any, made: Mapping[Any, Any]) -> Any:
    """The variable behind conversions and copies."""
    while not _is_literal(var) and var in made and made[var].primitive.name in _SAME:
        var = made[var].invars[0]
    return var


def _value(var: Any, known: Mapping[Any, Fact]) -> int | None:
    value = var.val if _is_literal(var) else known[var].value if var in known else None
    return int(value) if value is not None and not isinstance(value, bool) and float(value).is_integer() else None


def _is_literal(var: Any) -> bool:
    return type(var).__name__ == "Literal"


def _is_whole(var: Any) -> bool:
    return _is_literal(var) and getattr(var.val, "shape", ()) == () and float(var.val).is_integer()


def _open(jaxpr: Any) -> Any:
    return getattr(jaxpr, "jaxpr", jaxpr)
