"""One call of a framework op, as a formula sees it: arguments by the names of the op's schema, and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Call:
    """An op that ran.

    op       the torch OpOverload
    args, kwargs, out   what it was called with and what it returned
    """

    op: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    out: Any

    def __getitem__(self, name: str) -> Any:
        """The argument of that name in the op's schema, its default where none was passed; KeyError for no such."""
        position, default = _schema(self.op)[name]
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if position < len(self.args) else default

    def __contains__(self, name: str) -> bool:
        """Whether the op's schema has an argument of that name."""
        return name in _schema(self.op)

    def first(self, *names: str) -> Any:
        """The first of these arguments that the op has and that is not None."""
        return next((self[name] for name in names if name in self and self[name] is not None), None)

    @property
    def result(self) -> Any:
        """The output, or the first of several."""
        return self.out[0] if isinstance(self.out, (tuple, list)) else self.out


@lru_cache(4096)
def _schema(op: Any) -> dict[str, tuple[int, Any]]:
    return {
        argument.name: (position, argument.default_value if argument.has_default_value() else None)
        for position, argument in enumerate(op._schema.arguments)
    }


def tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    """The tensors among arguments, lists of tensors opened."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors(value)


def nbytes(tensor: torch.Tensor) -> int:
    """Bytes of distinct elements: what is broadcast (stride 0) or sparse is stored once."""
    if tensor.layout is torch._mkldnn:
        return int(tensor.numel() * tensor.element_size())
    if tensor.layout is not torch.strided:
        return sum(nbytes(part) for part in _stored(tensor))
    count = int(tensor.numel())
    if not tensor.is_nested and count and 0 in tensor.stride():
        for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
            if stride == 0 and size > 1:
                count //= size
    return count * int(tensor.element_size())


def _stored(tensor: torch.Tensor) -> Sequence[torch.Tensor]:
    """The plain tensors that a sparse one consists of; none of a layout that hides them."""
    if tensor.layout is torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return ()
