"""`count`: trace a function and add up what its jaxpr does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from flopsight.counted import Counted
from flopsight.errors import UsageError
from flopsight.jax import names
from flopsight.jax.bodies import Branches, Choices
from flopsight.jax.fact import UNKNOWN, Fact, read
from flopsight.jax.need import ALL
from flopsight.jax.tally import Tally
from flopsight.jax.walk import Walking


def count(
    fn: Callable[..., Any],
    *args: Any,
    static_argnums: int | tuple[int, ...] = (),
    trips: int | Mapping[str, int] | None = None,
    branches: Branches = "max",
    **kwargs: Any,
) -> Counted:
    """Count one call of a JAX function; nothing runs, no memory is taken on a device.

        counted = flopsight.jax.count(train_step, state, batch)
        counted.flops.required, counted.by_module(2), counted.uncounted, counted.notes

    fn              any function that jax.jit takes, jitted or not: a forward pass, a gradient, a whole training step
    args, kwargs    what it is called with: arrays, `jax.ShapeDtypeStruct`s, or trees of them
    static_argnums  positions of arguments that are values, not arrays (strings and functions must be); whole numbers
                    and flags that are passed as they are serve as bounds of loops also where they are not static
    trips           rounds of while loops whose end depends on values, for all or by the name of a scope around them
    branches        of a conditional whose predicate is a value: "max", the branch that does most, or "mean"

    Bodies of scans and loops count as often as they run. Results that nothing reads are left out, as XLA leaves them
    out. Multiply-adds that a causal or windowed mask makes void are not required, where the mask can be read from the
    program. What jax.checkpoint runs again is executed, not required.

    Raises UsageError where the function cannot be traced with these arguments, a shape is not a number, or an option
    is none of those above.
    """
    if branches not in ("max", "mean"):
        raise UsageError(f"branches is 'max' or 'mean'; got {branches!r}.")
    if any(rounds < 0 for rounds in (trips.values() if isinstance(trips, Mapping) else (trips or 0,))):
        raise UsageError(f"trips are rounds of a loop, 0 or more; got {trips!r}.")
    jaxpr = _trace(fn, args, kwargs, static_argnums)
    _refuse_symbols(jaxpr)
    walking = Walking(Choices(trips, branches))
    facts = _facts(args, kwargs, static_argnums)
    if len(facts) != len(jaxpr.jaxpr.invars):
        facts = [UNKNOWN] * len(jaxpr.jaxpr.invars)
    tally = walking.work(jaxpr, facts, [ALL] * len(jaxpr.jaxpr.outvars))
    _note_optimizer(walking, tally)
    return tally.counted(tuple(walking.notes))


def _trace(fn: Callable[..., Any], args: Any, kwargs: Any, static_argnums: int | tuple[int, ...]) -> Any:
    # shapes that do not fit and values that are no arrays raise these two
    try:
        return jax.make_jaxpr(fn, static_argnums=static_argnums)(*args, **kwargs)
    except (TypeError, ValueError) as error:
        name = getattr(fn, "__name__", type(fn).__name__)
        what = str(error).strip().split("\n")[0].rstrip(".:")
        hint = " Pass arrays or jax.ShapeDtypeStruct, and name other values in static_argnums."
        raise UsageError(
            f"{name} cannot be traced with these arguments: {what}.{hint if isinstance(error, TypeError) else ''}"
        ) from error


def _refuse_symbols(jaxpr: Any) -> None:
    for var in (*jaxpr.jaxpr.invars, *jaxpr.jaxpr.outvars):
        shape = getattr(var.aval, "shape", ())
        if not all(isinstance(size, int) for size in shape):
            raise UsageError(f"A shape must be numbers to be counted; got {shape}. Give its symbols sizes first.")


def _facts(args: Any, kwargs: Any, static_argnums: int | tuple[int, ...]) -> list[Fact]:
    """What is known of the arguments: numbers, and masks."""
    static = {static_argnums} if isinstance(static_argnums, int) else set(static_argnums)
    static = {position % len(args) for position in static} if args else set()
    passed = [arg for position, arg in enumerate(args) if position not in static]
    return [_read(leaf) for leaf in jax.tree_util.tree_leaves((tuple(passed), kwargs))]


def _read(leaf: Any) -> Fact:
    return UNKNOWN if isinstance(leaf, (jax.ShapeDtypeStruct, jax.core.Tracer)) else read(leaf)


def _note_optimizer(walking: Walking, tally: Tally) -> None:
    products = sum(row[3] for key, row in tally.rows.items() if key[2] == names.AFTER_GRADIENT)
    if products:
        walking.note(
            f"{products:,} FLOPs are computed from gradients outside of any differentiation: "
            "taken for the optimizer's, executed and not required"
        )
