"""What a call's work depends on: the shapes and formats of its tensors, and how many tokens lie in its cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """The lengths of a call, where they can be told.

    sequences, length   of the first tensor of whole numbers (ids), else of the first tensor
    past                tokens in the cache before the call; 0 without a cache
    """

    sequences: int
    length: int
    past: int

    @property
    def tokens(self) -> int:
        """Sequences times length."""
        return self.sequences * self.length


def key_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Key:
    """A hashable key of a call; a few microseconds, no look at values, no wait for a device."""
    return (torch.is_grad_enabled(), *(_part(value) for value in args), *((n, _part(v)) for n, v in kwargs.items()))


def _part(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return (value.shape, value.dtype)
    if value is None or isinstance(value, (bool, int, str, float)):
        return value
    if isinstance(value, Mapping):
        return tuple((name, _part(each)) for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_part(each) for each in value)
    return (type(value).__name__, cached_tokens(value))


def shape_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Shape | None:
    """Sequences, length and past of a call; None where no tensor has two dimensions."""
    found = [t for t in _tensors((*args, *kwargs.values())) if t.dim() >= 2]
    if not found:
        return None
    whole = [t for t in found if t.dim() == 2 and not t.is_floating_point()]
    first = (whole or found)[0]
    past = max((cached_tokens(value) for value in (*args, *kwargs.values())), default=0)
    return Shape(int(first.shape[0]), int(first.shape[1]), past)


def _tensors(values: tuple[Any, ...]) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, Mapping):
            found.extend(_tensors(tuple(value.values())))
        elif isinstance(value, (list, tuple)):
            found.extend(_tensors(tuple(value)))
    return found


def cached_tokens(value: Any) -> int:
    """Tokens that a cache of transformers holds, where the host knows it; 0 for anything else."""
    if not type(value).__module__.startswith("transformers.cache_utils"):
        return 0
    held = value.get_seq_length()
    return held if isinstance(held, int) else 0  # a static cache keeps it on the device: not worth a wait


def form_of(key: Key, shape: Shape | None) -> Key:
    """The key without lengths: calls of one form differ only in how much they are given."""
    return (shape is not None and shape.length == 1, *(_blank(part) for part in key))


def _blank(part: Any) -> Any:
    if isinstance(part, torch.Size):
        return len(part)
    if isinstance(part, tuple):
        if len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], int) and not isinstance(part[1], bool):
            return part[0]  # a cache, or a number by name
        return tuple(_blank(each) for each in part)
    return part
