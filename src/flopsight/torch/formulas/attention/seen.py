"""What was read from a tensor's values, remembered for as long as the tensor lives unchanged.

A mask is passed to every layer, and is read once. The tensors are known by their memory, which is held weakly.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeVar

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import _disable_current_modes

T = TypeVar("T")
FEW: Final = 64
_PLAIN: Final = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
_known: Final[dict[Hashable, tuple[list[StorageWeakRef], Any]]] = {}


def has_values(tensor: torch.Tensor) -> bool:
    """Whether a tensor's elements can be read: not on meta, fake, or of a class that hides them."""
    return tensor.__class__ in _PLAIN and not tensor.is_meta


def mark(tensor: torch.Tensor) -> Hashable:
    """What tells a tensor's present values from others while its memory lives; None where changes leave no trace."""
    if tensor.is_inference():
        return None
    place = tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.dtype, tensor._version
    return (*place, tuple(tensor.shape), tensor.stride())


def read(tensors: Sequence[torch.Tensor], what: Hashable, compute: Callable[[], T]) -> T:
    """`compute()`, which depends on these tensors' values and on `what` only; asked once."""
    marks = tuple(mark(tensor) for tensor in tensors)
    key = (what, marks)
    found = _known.get(key)
    if found is not None and not any(ref.expired() for ref in found[0]):
        value: T = found[1]
        return value
    with _disable_current_modes():
        value = compute()
    if None not in marks:
        _keep(key, tensors, value)
    return value


def _keep(key: Hashable, tensors: Sequence[torch.Tensor], value: Any) -> None:
    if len(_known) >= FEW:
        for old in [k for k, (refs, _) in _known.items() if any(ref.expired() for ref in refs)]:
            del _known[old]
        while len(_known) >= FEW:
            del _known[next(iter(_known))]
    # a weak reference keeps the address from being given to other memory, so that a key never means two tensors
    _known[key] = [StorageWeakRef(tensor.untyped_storage()) for tensor in tensors], value
