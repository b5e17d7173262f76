"""The work of one equation: by the user's formula, by ours, by what is inside of it, or by its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flopsight.counted import Bytes, Flops
from flopsight.jax import formulas  # noqa: F401 - fills the table
from flopsight.jax.bodies import OPAQUE, Body, Walk
from flopsight.jax.fact import Fact
from flopsight.jax.fold import MASKED
from flopsight.jax.kinds import kind_of
from flopsight.jax.need import Need
from flopsight.jax.registry import CUSTOM, FORMULAS, Call, Custom, Uncountable, as_flops
from flopsight.jax.tally import Tally
from flopsight.jax.traffic import Stored, dtype_of, elements, traffic

NONE: Final = Flops()


def tally_equation(
    walk: Walk, eqn: Any, body: Body | None, facts: Sequence[Fact], asked: Sequence[Need], tally: Tally,
    place: tuple[str, int], stored: Stored,
) -> None:  # fmt: skip
    """Add one equation to the tally; `place` is its module and the rank of its pass."""
    path, rank = place
    op = eqn.primitive.name
    named = _registered(eqn)
    if named is not None:
        flops, moved = _custom(eqn, CUSTOM[named])
        tally.add((path, named, rank, dtype_of(eqn), "matrix"), flops, 0, moved or traffic(eqn, stored))
    elif op in FORMULAS:
        found = FORMULAS[op](Call(eqn, facts, asked[0], walk.note))
        if isinstance(found, Uncountable):
            tally.miss(path, op, found.why)
            found = NONE
        tally.add((path, op, rank, dtype_of(eqn), "matrix"), found, 0, traffic(eqn, stored))
    elif body is not None:
        for inner, times in body.work(walk, facts, asked, path):
            tally.include(inner, path, rank, times)
    else:
        _by_kind(walk, eqn, facts, tally, (path, rank), stored)


def _by_kind(walk: Walk, eqn: Any, facts: Sequence[Fact], tally: Tally, place: tuple[str, int], stored: Stored) -> None:
    path, rank = place
    op = eqn.primitive.name
    kind = kind_of(op)
    if kind == "missing":
        name, why = _missing(eqn)
        tally.miss(path, name, why)
    if kind == "free":
        return
    if op == "select_n":
        _note_mask(walk, facts)
    vector, moved = elements(kind, eqn, stored)
    tally.add((path, op, rank, dtype_of(eqn), "vector"), NONE, vector, moved)


def _note_mask(walk: Walk, facts: Sequence[Fact]) -> None:
    which, *cases = facts
    fill = [case.value for case in cases if isinstance(case.value, float) and case.value <= MASKED]
    if fill and which.inside is None:
        walk.note("a mask depends on values: the whole square of its scores was taken as required")


def _registered(eqn: Any) -> str | None:
    if not CUSTOM:
        return None
    return next((name for name in _own_names(eqn) if name in CUSTOM), None)


def _own_names(eqn: Any) -> list[str]:
    """The kernel's, function's or target's name, then the primitive's."""
    params = eqn.params
    found = [params.get("name"), params.get("target_name"), params.get("call_target_name")]
    for key in ("name_and_src_info", "call_jaxpr"):
        holder = params.get(key)
        info = getattr(getattr(holder, "jaxpr", None), "debug_info", None)
        found += [getattr(holder, "name", None), getattr(info, "func_name", None)]
    return [name for name in (*found, eqn.primitive.name) if isinstance(name, str)]


def _custom(eqn: Any, custom: Custom) -> tuple[Flops, Bytes | None]:
    import jax

    ins = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in eqn.invars]
    outs = tuple(jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in eqn.outvars)
    named = dict(eqn.params.get("attributes") or ())
    if "grid_mapping" in eqn.params:
        named["grid"] = tuple(eqn.params["grid_mapping"].grid)
    named["out"] = outs[0] if len(outs) == 1 else outs
    flops = as_flops(custom.flops(*ins, **named))
    moved = None if custom.bytes is None else custom.bytes(*ins, **named)
    return flops, Bytes(moved) if isinstance(moved, int) else moved


def _missing(eqn: Any) -> tuple[str, str]:
    """(name, why)."""
    op = eqn.primitive.name
    name = _own_names(eqn)[0]
    if op in OPAQUE:
        return name, f"{OPAQUE[op]}; give its formula with flopsight.jax.register({name!r}, ...)"
    return op, f"a primitive without formula; give one with flopsight.jax.register({op!r}, ...)"
