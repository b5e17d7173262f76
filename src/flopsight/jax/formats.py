"""JAX's number formats: how many bits they take, whether they are floating, and our word for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from flopsight.dtypes import dtype as find_dtype
from flopsight.errors import UsageError

_PACKED: Final = {"int4": 4, "uint4": 4, "float4_e2m1fn": 4, "int2": 2, "uint2": 2}
"""Formats that NumPy keeps in a byte each and devices do not."""


@dataclass(frozen=True, slots=True)
class Format:
    """A number format: our word for it ("bf16"; JAX's own where we have none), bits, whether it is floating."""

    word: str
    bits: int
    floating: bool


@lru_cache(256)
def format_of(dtype: Any) -> Format:
    """Of a dtype, also one of PRNG keys."""
    name = str(dtype)
    return Format(
        word(name), _PACKED.get(name, 8 * int(dtype.itemsize)), name.startswith(("float", "bfloat", "complex"))
    )


@lru_cache(256)
def word(name: str) -> str:
    """Our word for a format's name."""
    try:
        return find_dtype(name).name
    except UsageError:
        return name
