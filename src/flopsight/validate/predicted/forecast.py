"""Which file predicts which row, and what is said when none does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Final, TypeAlias

from flopsight.errors import FlopsightError
from flopsight.validate.recompute import Figure
from flopsight.validate.rows import Row

TOLERANCE: Final = 0.25
"""A prediction further off than this is listed among the misses."""
NOTHING: Final = Figure("", None, None, why="nothing predicts this row")
GENERATION: Final = ("fastertransformer", "aws-neuron")

Predict: TypeAlias = Callable[[Row], Figure | tuple[Figure, ...] | None]


def forecast(row: Row) -> tuple[Figure, ...]:
    """What is predicted of a row, its main quantity first; a Figure without a value of ours says why."""
    if row.kind == "arithmetic":
        return ()
    for name in _rooms(row):
        found = _asked(name, row)
        if found:
            return tuple(replace(one, tolerance=TOLERANCE) for one in found)
    return (NOTHING,)


def _rooms(row: Row) -> tuple[str, ...]:
    if row.kind == "kernel":
        return ("kernel_attention", "kernel_gemm")
    if row.kind in ("prefill", "decode") or row.group.startswith(GENERATION):
        return ("generation",)
    return ("serving",) if row.kind == "serving" else ("train",)


def _asked(name: str, row: Row) -> tuple[Figure, ...]:
    predict: Predict = import_module(f"flopsight.validate.predicted.{name}").predict
    try:
        found = predict(row)
    except FlopsightError as error:
        return (Figure("", None, None, why=str(error)),)
    if found is None:
        return ()
    return found if isinstance(found, tuple) else (found,)
