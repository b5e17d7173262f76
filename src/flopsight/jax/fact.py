"""What is known of an array without running the program: a constant, an index, or a constant outside of a band."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import jax
import numpy as np

from flopsight.jax.band import Band, band_of

Value = float | int | bool
READABLE: Final = 1 << 26
"""Constants with more elements than this are not looked into."""
COPIED: Final = 1 << 20
"""Nor numbers on a device with more than this, which would be copied from there."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of an array's values.

    inside, outside   the value of every element in the band and of every other one; None is unknown. Without a band
                      the two are equal: one value everywhere
    band              None is everywhere
    index             ((d, c), ...), k: the elements are the sum of c times the index along d, plus k
    gradient          whether it was computed from a gradient
    """

    inside: Value | None = None
    outside: Value | None = None
    band: Band | None = None
    index: tuple[tuple[tuple[int, int], ...], int] | None = None
    gradient: bool = False

    @property
    def value(self) -> Value | None:
        """The one value of all elements, None if there is none or it is not known."""
        return self.inside if self.band is None else None

    @property
    def support(self) -> Band | None:
        """The band outside of which every element is zero, None if there is none."""
        if self.band is None or self.inside == self.outside:
            return None
        if self.outside is not None and self.outside == 0:
            return self.band
        return self.band.complement() if self.inside is not None and self.inside == 0 else None

    @property
    def affine(self) -> tuple[tuple[tuple[int, int], ...], int] | None:
        """`index`, or that of a constant integer."""
        if self.index is None and isinstance(self.value, int):
            return (), self.value
        return self.index

    def tainted(self) -> Fact:
        """The same, computed from a gradient."""
        return self if self.gradient else replace(self, gradient=True)


UNKNOWN: Final = Fact()
GRADIENT: Final = Fact(gradient=True)


def constant(value: Value | None) -> Fact:
    """Every element is this."""
    return UNKNOWN if value is None else Fact(value, value)


def banded(band: Band | None, inside: Value | None, outside: Value | None) -> Fact:
    """`inside` in the band, `outside` out of it; of a band with one limit and its complement the lower one is told."""
    if band is None or (inside is None and outside is None):
        return constant(inside) if inside == outside else UNKNOWN
    other = band.complement() if band.low is None else None
    return Fact(inside, outside, band) if other is None else Fact(outside, inside, other)


def join(a: Fact, b: Fact) -> Fact:
    """What is true of both."""
    if a == b:
        return a
    return GRADIENT if a.gradient or b.gradient else UNKNOWN


def read(value: Any) -> Fact:
    """A fact about a constant of the program: a scalar, an array of one value, positions, or a mask that is a band."""
    if isinstance(value, (bool, int, float)):
        return constant(_plain(value))
    return _read_array(np.asarray(value)) if isinstance(value, np.generic) or _readable(value) else UNKNOWN


def _readable(value: Any) -> bool:
    """One number, positions, or a matrix that may be a mask; weights stay where they are, nothing else is copied."""
    if isinstance(value, jax.Array):
        if value.is_deleted() or not value.is_fully_addressable:
            return False
        largest = READABLE if value.dtype == bool else COPIED
    elif isinstance(value, np.ndarray):
        largest = READABLE
    else:
        return False
    long = sum(size > 1 for size in value.shape)
    kinds = {0: "biufV", 1: "i", 2: "bfV"}.get(long, "")
    return 0 < value.size <= largest and getattr(value.dtype, "kind", "?") in kinds


def _read_array(array: np.ndarray) -> Fact:
    if array.dtype.kind not in "biuf" and array.dtype.name not in ("bfloat16", "float16"):
        return UNKNOWN
    if array.size == 1:
        return constant(_plain(array.reshape(-1)[0].item()))
    if array.dtype.kind == "i" and max(array.shape) == array.size:
        return _read_index(array)
    return _read_mask(array)


def _read_mask(array: np.ndarray) -> Fact:
    flat = array.reshape(-1)
    if len(set(flat[:: max(1, array.size // 64)].tolist())) > 2:
        return UNKNOWN  # a look at a few elements tells weights from masks
    at = array == flat[0]
    rest = array[~at]
    here = _plain(flat[0].item())
    if not rest.size:
        return constant(here)
    return _two_values(at, here, _plain(rest[0].item())) if (rest == rest[0]).all() else UNKNOWN


def _read_index(array: np.ndarray) -> Fact:
    """Whole numbers in even steps along the one long dimension: positions."""
    numbers = array.reshape(-1).astype(np.int64)
    steps = np.diff(numbers)
    if not (steps == steps[0]).all():
        return UNKNOWN
    start, step = int(numbers[0]), int(steps[0])
    return Fact(index=(((array.shape.index(array.size), step),), start)) if step else constant(start)


def _two_values(at: np.ndarray, here: Value | None, there: Value | None) -> Fact:
    band = band_of(at)
    if band is not None:
        return banded(band, here, there)
    band = band_of(~at)
    return UNKNOWN if band is None else banded(band, there, here)


def _plain(value: Any) -> Value | None:
    if isinstance(value, float) and value != value:
        return None
    return value if isinstance(value, (bool, int, float)) else None
