"""A recorded call, taken apart: tensors with their sizes, plain arguments with their texts."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Final

from flopsight.opcost.dtypes import BYTES, CODES, COMPLEX, FLOATS, named
from flopsight.trace import Signature

LARGEST: Final = 1 << 48
"""Elements above which a record is not believed."""
MOST: Final = 100_000
"""Tensors of a list."""
DEEPEST: Final = 64
"""Dimensions of a tensor, PyTorch's own limit."""
NUMBERS: Final = frozenset({"", "Scalar", "ScalarList", "GenericList", "TensorList", "Optional"})
"""Types of arguments that are no single tensor."""


class Unclear(ValueError):
    """The record does not hold what a formula needs."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Sizes and format of one argument.

    held   distinct elements: what is broadcast by a stride of 0 is stored once
    """

    dims: tuple[int, ...]
    dtype: str
    held: int

    @property
    def numel(self) -> int:
        """Elements."""
        return prod(self.dims)

    @property
    def bytes(self) -> int | None:
        """As stored; None where the format is not known."""
        size = BYTES.get(self.dtype)
        return None if size is None else self.held * size


def dense(dims: tuple[int, ...], dtype: str) -> Tensor:
    """A tensor that an op makes: every element stored. Unclear for sizes that cannot be."""
    elements = prod(dims)
    if len(dims) > DEEPEST or elements > LARGEST or any(n < 0 or n > LARGEST for n in dims):
        raise Unclear("sizes that cannot be")
    return Tensor(dims, dtype, elements)


@dataclass(frozen=True, slots=True)
class Call:
    """One op with its recorded arguments."""

    name: str
    signature: Signature

    def tensor(self, at: int) -> Tensor:
        """The tensor at a place; Unclear where there is none."""
        found = self.maybe(at)
        if found is None:
            raise Unclear(f"argument {at} is no tensor")
        return found

    def maybe(self, at: int) -> Tensor | None:
        """The tensor at a place; None where there is none (an absent bias, a number)."""
        dims, types = self.signature.dims, self.signature.types
        if at >= len(dims) or not _sizes(dims[at]):
            return None
        kind = types[at] if at < len(types) else ""
        if not dims[at] and kind in NUMBERS:
            return None
        strides = self.signature.strides
        return _tensor(dims[at], kind, strides[at] if at < len(strides) else ())

    def tensors(self) -> list[Tensor]:
        """Every tensor, those of lists too."""
        found: list[Tensor] = []
        for at in range(len(self.signature.dims)):
            one = self.maybe(at)
            found += [one] if one is not None else self.listed(at)
        return found

    def listed(self, at: int) -> list[Tensor]:
        """The tensors of a list at a place; their format is not recorded."""
        dims = self.signature.dims[at] if at < len(self.signature.dims) else ()
        if not isinstance(dims, tuple):
            return []
        return [_tensor(d, "", ()) for d in dims[:MOST] if _sizes(d)]

    def value(self, at: int) -> str:
        """The text of a plain argument; "" where it was not recorded."""
        values = self.signature.values
        return values[at].strip() if 0 <= at < len(values) else ""

    def flag(self, at: int) -> bool | None:
        """A recorded boolean; None where it was not recorded."""
        return {"True": True, "False": False}.get(self.value(at))

    def flags(self, at: int) -> list[bool]:
        """A recorded list of booleans; empty where it was not recorded."""
        return [part.strip() == "True" for part in self.value(at).strip("[]").split(",") if part.strip()]

    def whole(self, at: int) -> int | None:
        """A recorded whole number."""
        text = self.value(at)
        return int(text) if text.removeprefix("-").isdecimal() and len(text) < 20 else None

    def wholes(self, at: int) -> list[int]:
        """A recorded list of whole numbers."""
        parts = [part.strip() for part in self.value(at).strip("[]() ").split(",") if part.strip()]
        if not all(part.removeprefix("-").isdecimal() and len(part) < 20 for part in parts):
            return []
        return [int(part) for part in parts]

    def dtype(self, at: int) -> str:
        """The format that a ScalarType among the arguments asks for; "" where none does."""
        code = self.whole(at)
        return "" if code is None or self.maybe(at) is not None else CODES.get(code, "")


def _sizes(dims: Any) -> bool:
    return isinstance(dims, tuple) and all(isinstance(n, int) for n in dims)


def _tensor(dims: tuple[int, ...], kind: str, strides: Any) -> Tensor:
    made = dense(dims, named(kind))
    if not isinstance(strides, tuple) or len(strides) != len(dims) or 0 not in strides or not made.held:
        return made
    return Tensor(dims, made.dtype, prod(n for n, step in zip(dims, strides, strict=True) if step != 0))


def total(tensors: list[Tensor]) -> int:
    """Bytes of several tensors; -1 where one is not known."""
    sizes = [t.bytes for t in tensors]
    return -1 if None in sizes else sum(s for s in sizes if s is not None)


def main_dtype(tensors: list[Tensor]) -> str:
    """The format that an op computes in: that of its first tensor of floating point, else of its first."""
    real = FLOATS | COMPLEX
    return next((t.dtype for t in tensors if t.dtype in real), tensors[0].dtype if tensors else "")


def promoted(tensors: list[Tensor]) -> str:
    """The format of what an op makes of several tensors: complex before float before whole before bool, then the wider.

    A tensor without dimensions counts only where its kind comes before that of all others. "" where one is not known.
    """
    if not tensors or any(not t.dtype for t in tensors):
        return ""
    best = ""
    for group in ([t for t in tensors if t.dims], [t for t in tensors if not t.dims]):
        found = ""
        for one in group:
            found = _wider(found, one.dtype)
        best = found if not best or (found and _rank(found) > _rank(best)) else best
    return best


def _rank(dtype: str) -> int:
    return 3 if dtype in COMPLEX else 2 if dtype in FLOATS else 0 if dtype == "bool" else 1


def _wider(a: str, b: str) -> str:
    if not a or a == b:
        return b
    if _rank(a) != _rank(b):
        return a if _rank(a) > _rank(b) else b
    if {a, b} == {"fp16", "bf16"}:
        return "fp32"
    if {a, b} == {"uint8", "int8"}:
        return "int16"
    return a if BYTES[a] >= BYTES[b] else b
