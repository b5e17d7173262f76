"""What a checkpoint says of one tensor without any of its values being read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flopsight.dtypes import DType
from flopsight.facts import Unknown


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One stored tensor: its name, number format, shape (outermost first) and bytes.

    A format, shape or size that the source does not give is an Unknown with the reason.
    """

    name: str
    dtype: DType | Unknown
    shape: tuple[int, ...] | Unknown
    bytes: int | Unknown

    @property
    def elements(self) -> int | Unknown:
        """How many numbers the shape holds, which for packed formats is not how many weights there are."""
        if isinstance(self.shape, Unknown):
            return self.shape
        product = 1
        for dim in self.shape:
            product *= dim
        return product


def total_bytes(tensors: Iterable[StoredTensor]) -> int | Unknown:
    """Bytes of all the tensors together, or the first reason why they are not known."""
    total = 0
    for each in tensors:
        if isinstance(each.bytes, Unknown):
            return each.bytes
        total += each.bytes
    return total
