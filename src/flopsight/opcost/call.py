"""A recorded call, taken apart: tensors with their sizes, plain arguments with their texts."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Final

from flopsight.opcost.dtypes import BYTES, FLOATS, named
from flopsight.trace import Signature

LARGEST: Final = 1 << 48
"""Elements above which a record is not believed."""
MOST: Final = 100_000
"""Tensors of a list."""


class Unclear(ValueError):
    """The record does not hold what a formula needs."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Sizes and format of one argument."""

    dims: tuple[int, ...]
    dtype: str

    @property
    def numel(self) -> int:
        """Elements."""
        return prod(self.dims)

    @property
    def bytes(self) -> int | None:
        """As stored; None where the format is not known."""
        size = BYTES.get(self.dtype)
        return None if size is None else self.numel * size


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
        if not dims[at] and kind in ("", "Scalar", "ScalarList", "GenericList", "TensorList", "Optional"):
            return None
        return _tensor(dims[at], kind)

    def tensors(self) -> list[Tensor]:
        """Every tensor, those of lists too."""
        found: list[Tensor] = []
        for at, dims in enumerate(self.signature.dims):
            one = self.maybe(at)
            if one is not None:
                found.append(one)
            elif isinstance(dims, tuple) and dims and isinstance(dims[0], tuple):
                found += [_tensor(d, self._listed(at)) for d in dims[:MOST] if _sizes(d)]
        return found

    def listed(self, at: int) -> list[Tensor]:
        """The tensors of a list at a place."""
        dims = self.signature.dims[at] if at < len(self.signature.dims) else ()
        return [_tensor(d, self._listed(at)) for d in dims[:MOST] if isinstance(d, tuple) and _sizes(d)]

    def _listed(self, at: int) -> str:
        """A list's format is not recorded; that of the first tensor beside it stands in."""
        types = self.signature.types
        own = types[at] if at < len(types) else ""
        return own if named(own) else next((t for t in types if named(t)), "float")

    def value(self, at: int) -> str:
        """The text of a plain argument; "" where it was not recorded."""
        values = self.signature.values
        return values[at].strip() if 0 <= at < len(values) else ""

    def flag(self, at: int) -> bool | None:
        """A recorded boolean; None where it was not recorded."""
        return {"True": True, "False": False, "1": True, "0": False}.get(self.value(at))

    def whole(self, at: int) -> int | None:
        """A recorded whole number."""
        try:
            return int(self.value(at))
        except ValueError:
            return None

    def wholes(self, at: int) -> list[int]:
        """A recorded list of whole numbers."""
        try:
            return [int(part) for part in self.value(at).strip("[]() ").split(",") if part.strip()]
        except ValueError:
            return []


def _sizes(dims: Any) -> bool:
    return isinstance(dims, tuple) and all(isinstance(n, int) for n in dims)


def _tensor(dims: tuple[int, ...], kind: str) -> Tensor:
    if any(n < 0 for n in dims) or prod(dims) > LARGEST:
        raise Unclear(f"sizes {dims} cannot be")
    return Tensor(dims, named(kind))


def total(tensors: list[Tensor]) -> int:
    """Bytes of several tensors; -1 where one is not known."""
    sizes = [t.bytes for t in tensors]
    return -1 if None in sizes else sum(s for s in sizes if s is not None)


def main_dtype(tensors: list[Tensor]) -> str:
    """The format that an op computes in: that of its first tensor of floating point, else of its first."""
    return next((t.dtype for t in tensors if t.dtype in FLOATS), tensors[0].dtype if tensors else "")
