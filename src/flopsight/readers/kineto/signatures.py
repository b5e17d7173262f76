"""Shapes and types of an op's arguments, each combination once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from flopsight.readers.kineto.rows import NONE, Args
from flopsight.trace import Signature

Key = tuple[bytes, bytes, bytes, bytes]
NOTHING: Key = (b"", b"", b"", b"")


class Signatures(dict[Key, int]):
    """Gives every combination of shapes a number, by its text; -1 where none was recorded."""

    def __init__(self) -> None:
        super().__init__({NOTHING: -1})

    def __missing__(self, key: Key) -> int:
        self[key] = number = len(self) - 1
        return number

    def of(self, args: Iterable[Args]) -> npt.NDArray[np.int32]:
        """Numbers of many ops."""
        found = (
            -1 if a.dims is NONE else self[bytes(a.dims), bytes(a.types), bytes(a.values), bytes(a.strides)]
            for a in args
        )
        return np.fromiter(found, np.int32)

    def parsed(self) -> tuple[Signature, ...]:
        """All of them, by number."""
        return tuple(_signature(*key) for key in self if key is not NOTHING and key != NOTHING)


def _signature(dims: bytes, types: bytes, values: bytes, strides: bytes) -> Signature:
    return Signature(_frozen(_json(dims)), _texts(_json(types)), _texts(_json(values)), _frozen(_json(strides)))


def _json(text: bytes) -> list[Any]:
    if not text:
        return []
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _frozen(value: Any, depth: int = 0) -> Any:
    if isinstance(value, list) and depth < 8:
        return tuple(_frozen(one, depth + 1) for one in value)
    return value if isinstance(value, int) else -1


def _texts(value: list[Any]) -> tuple[str, ...]:
    return tuple(one if isinstance(one, str) else str(one) for one in value)
