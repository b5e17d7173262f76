"""Arithmetic on values of which some are unknown (None): what is known of the result anyway."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

from flopsight.jax.fact import Value

MASKED: Final = -1e4
"""A score of this or less is one that a mask took out: its exponential is zero beside any other of its row."""

WRAPS: Final = 1 << 31
"""Whole numbers from here on may wrap around in the program: they are not followed."""

_BINARY: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "add": operator.add, "add_any": operator.add, "sub": operator.sub, "mul": operator.mul, "max": max, "min": min,
    "eq": operator.eq, "ne": operator.ne, "ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt,
}  # fmt: skip
_UNARY: Final[dict[str, Callable[[Any], Any]]] = {
    "neg": operator.neg, "exp": math.exp, "exp2": lambda x: 2.0**x, "abs": abs, "sign": lambda x: (x > 0) - (x < 0),
    "stop_gradient": lambda x: x, "copy": lambda x: x, "copy_p": lambda x: x, "tanh": math.tanh,
    "square": lambda x: x * x, "logistic": lambda x: 1 / (1 + math.exp(-x)) if x > -700 else 0.0,
    "reduce_precision": lambda x: x, "optimization_barrier": lambda x: x, "name": lambda x: x,
}  # fmt: skip
_RULED: Final = ("div", "rem", "and", "or", "not", "convert_element_type", "integer_pow", "clamp")
FOLDABLE: Final = frozenset((*_BINARY, *_UNARY, *_RULED))
"""The elementwise primitives that `fold` knows; `select_n` has rules of its own."""


def fold(op: str, values: Sequence[Value | None], params: dict[str, Any]) -> Value | None:
    """The result of an elementwise primitive on these values, None if it cannot be told."""
    try:
        if None in values:
            return _absorb(op, values)
        result = _compute(op, values, params)
    except (ArithmeticError, ValueError, TypeError):
        return None
    if result is None or result != result or (isinstance(result, int) and abs(result) >= WRAPS):
        return None
    return result


def _absorb(op: str, values: Sequence[Value | None]) -> Value | None:
    """Zero times anything, false and anything, a masked score plus anything."""
    if op == "mul" and any(v == 0 and v is not None for v in values):
        return 0.0
    if op == "and" and any(v is False or (v == 0 and v is not None) for v in values):
        return False if any(isinstance(v, bool) for v in values) else 0
    if op == "or" and any(v is True for v in values):
        return True
    if op in ("div", "rem") and values[0] == 0 and values[0] is not None:
        return values[0]
    if op in ("add", "add_any"):
        return next((v for v in values if v is not None and v <= MASKED and isinstance(v, float)), None)
    if op == "sub" and isinstance(values[0], float) and values[0] <= MASKED:
        return values[0]
    return None


def _compute(op: str, values: Sequence[Any], params: dict[str, Any]) -> Value | None:
    if op == "convert_element_type":
        return _convert(values[0], params["new_dtype"])
    if op == "integer_pow":
        return values[0] ** params["y"]  # type: ignore[no-any-return]
    if op == "clamp":
        return max(values[0], min(values[1], values[2]))  # type: ignore[no-any-return]
    if op == "not":
        return not values[0] if isinstance(values[0], bool) else None
    if op in ("and", "or"):
        return (values[0] & values[1]) if op == "and" else (values[0] | values[1])  # type: ignore[no-any-return]
    if op in ("div", "rem"):
        return _divide(op, *values)
    if op in _UNARY:
        return _UNARY[op](values[0])  # type: ignore[no-any-return]
    return _BINARY[op](*values) if op in _BINARY else None


def _divide(op: str, left: Any, right: Any) -> Value | None:
    # integers are divided towards zero
    if isinstance(left, int) and isinstance(right, int):
        whole = abs(left) // abs(right) * (1 if (left >= 0) == (right >= 0) else -1)
        return whole if op == "div" else left - whole * right
    return left / right if op == "div" else math.fmod(left, right)


def _convert(value: Any, dtype: Any) -> Value:
    kind = getattr(dtype, "kind", "f")
    if kind == "b":
        return bool(value)
    return int(value) if kind in "iu" else float(value)
