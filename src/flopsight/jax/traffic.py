"""Vector FLOPs and bytes of a primitive that is no contraction, and the bytes of any."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from flopsight.counted import Bytes
from flopsight.jax.formats import format_of, word
from flopsight.jax.kinds import Kind

Stored = Mapping[Any, int]
"""Bytes behind the variables that are spread out of something smaller and never stored whole."""


def elements(kind: Kind, eqn: Any, stored: Stored) -> tuple[int, Bytes]:
    """(vector FLOPs: one an element and op, bytes).

    Only floating-point arithmetic counts. A gather reads the rows it returns; a scatter reads and writes the rows
    that it updates, in place.
    """
    moved = traffic(eqn, stored)
    if kind == "write":
        return 0, Bytes(0, moved.writes)
    if kind == "gather":
        return 0, Bytes(moved.writes + _sum(eqn.invars[1:], stored), moved.writes)
    if kind == "scatter":
        updates = eqn.invars[1] if eqn.primitive.name in _UPDATE_SECOND else eqn.invars[-1]
        size = nbytes(updates.aval)
        adds = 0 if eqn.primitive.name in _UPDATE_SECOND | {"scatter"} else _floats(updates)
        return adds, Bytes(2 * size if adds else size, size)
    return _vector(kind, eqn), moved


_UPDATE_SECOND = frozenset({"dynamic_update_slice", "swap", "addupdate"})


def _vector(kind: Kind, eqn: Any) -> int:
    if kind == "pointwise":
        return sum(_floats(var) for var in eqn.outvars)
    if kind == "reduction":
        return sum(_floats(var) for var in eqn.invars)
    if kind == "window":
        window = eqn.params.get("window_dimensions", ())
        return min(_floats(eqn.outvars[0]), _floats(eqn.invars[0])) * int(prod(window))
    return _fft(eqn) if kind == "fft" else 0


def _fft(eqn: Any) -> int:
    """5·n·log2(n) a complex transform of n, half of it a real one (Cooley and Tukey 1965, as FFTW reports it)."""
    lengths = eqn.params["fft_lengths"]
    n = int(prod(lengths))
    real = any(np.dtype(var.aval.dtype).kind == "f" for var in (*eqn.invars, *eqn.outvars))
    largest = max(int(prod(var.aval.shape)) for var in (*eqn.invars, *eqn.outvars))
    if not n or not largest:
        return 0
    batch = max(1, largest // n)
    whole = 5 * batch * n * float(np.log2(n))
    return round(whole / 2 if real else whole)


def traffic(eqn: Any, stored: Stored) -> Bytes:
    """Each distinct operand read once, each result written once."""
    return Bytes(_sum(eqn.invars, stored), sum(nbytes(var.aval) for var in eqn.outvars))


def _sum(variables: Any, stored: Stored) -> int:
    seen: dict[int, int] = {}
    for var in variables:
        if not _is_literal(var):
            seen[id(var)] = stored[var] if var in stored else nbytes(var.aval)
    return sum(seen.values())


def spread(eqn: Any, stored: Stored) -> int | None:
    """Bytes behind the result of a primitive that only spreads or relabels; None for any other."""
    name = eqn.primitive.name
    if name in ("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "stop_gradient"):
        var = eqn.invars[0]
        return 0 if _is_literal(var) else stored.get(var, nbytes(var.aval))
    return 0 if name in ("iota", "full_like", "empty", "axis_index") else None


def nbytes(aval: Any) -> int:
    """Bytes of an array; packed formats of less than a byte (int4) are rounded up."""
    shape = getattr(aval, "shape", None)
    if shape is None:
        return 0
    return (int(prod(shape)) * format_of(aval.dtype).bits + 7) // 8


def _floats(var: Any) -> int:
    dtype = getattr(var.aval, "dtype", None)
    return int(prod(var.aval.shape)) if dtype is not None and format_of(dtype).floating else 0


def _is_literal(var: Any) -> bool:
    return type(var).__name__ == "Literal"


def dtype_of(eqn: Any) -> str:
    """Our word for the number format of the first operand, or of the result where there is none."""
    algorithm = getattr(eqn.params.get("precision"), "name", "")
    if algorithm.count("_") == 2:
        return word(algorithm.split("_")[0].lower())  # "BF16_BF16_F32": formats of the operands, of the sum
    for var in (*eqn.invars, *eqn.outvars):
        if getattr(var.aval, "dtype", None) is not None:
            return format_of(var.aval.dtype).word
    return ""
