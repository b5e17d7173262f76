"""Attention written as products: a mask between scores and softmax says which pairs the model requires.

    scores = q @ k.T;  scores = scale * scores + mask;  weights = softmax(scores);  out = weights @ v

Every op of it runs over the whole square, and that is what `executed` and `full_square` say. Required are the pairs
that the mask lets through: of the product that made the scores, of each product that consumes the weights, and in
the backward pass of the products around `softmax_backward`, whose gradient is nought where the weights are. Tensors
are followed by their memory, held weakly, from a batched product through ops on elements; nothing is lowered before
a softmax shows that it is attention.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from flopsight.torch.call import tensors
from flopsight.torch.formulas.attention.masks import UNREAD, limit, mask_pairs

PRODUCTS: Final = frozenset({"aten::bmm", "aten::baddbmm", "aten::baddbmm_"})
SOFTMAX: Final = frozenset({"aten::_softmax", "aten::_safe_softmax"})
WIDER: Final = frozenset({"aten::cat", "aten::slice_backward", "aten::constant_pad_nd"})
"""Columns beside the scores: attention sinks, and their removal backward."""
MOST: Final = 512


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known of a tensor.

    rows      sums of the product that made it, [calls, required, ...], until a softmax is met; `each` FLOPs of it an
              element of the tensor (0 where the product is not required anyway)
    size      elements of the score square
    excluded  those that a mask takes out; None where none was met
    unread    a mask was met whose values nobody can read
    """

    rows: list[int] | None
    each: int
    size: int
    excluded: int | None = None
    unread: bool = False


class Areas:
    """Follows the score squares of one counted program."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._traces: dict[int, tuple[StorageWeakRef, Trace]] = {}
        self._sizes: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._traces)

    def product(self, args: Any, out: Any, row: list[int], required: int) -> None:
        """A batched product ran, and `required` FLOPs were added to its row."""
        for operand in args:
            trace = self._find(operand)
            if trace is not None and trace.rows is None and trace.excluded is not None and trace.size:
                row[1] -= required * trace.excluded // trace.size
                return  # the output of the mix is not a score
        if out.dim() >= 3 and out.numel():
            self._keep(out, Trace(row, required // out.numel(), out.numel()))

    def elements(self, name: str, args: Any, out: Any, real: Callable[[Any], Any] | None) -> None:
        """An op on elements ran."""
        if not isinstance(out, torch.Tensor):
            return
        if name in WIDER:
            self._widened(args, out)
            return
        if out.numel() not in self._sizes:
            return
        found = [(t, trace) for t in tensors(args) if t.numel() == out.numel() and (trace := self._find(t)) is not None]
        if not found:
            return
        if name == "aten::_softmax_backward_data":
            self._backward(args, out)
            return
        source, trace = found[0]
        if name in SOFTMAX:
            self._settled(trace, out)
        elif trace.rows is None:
            self._keep(out, trace)
        else:
            self._keep(out, _masked(name, args, source, trace, real or (lambda tensor: tensor)))

    def _widened(self, args: Any, out: torch.Tensor) -> None:
        """Columns were set beside the scores, which no product made."""
        for tensor in tensors(args):
            trace = self._find(tensor)
            if trace is not None and trace.size == tensor.numel() <= out.numel():
                self._keep(out, trace)
                return

    def _settled(self, trace: Trace, out: torch.Tensor) -> None:
        """A softmax: what was masked before it is not required."""
        if trace.unread:
            self._note(UNREAD)
        if trace.excluded is None:
            return
        if trace.rows is not None:
            trace.rows[1] -= trace.each * trace.excluded
        self._keep(out, Trace(None, 0, trace.size, trace.excluded))

    def _backward(self, args: Any, out: torch.Tensor) -> None:
        gradient, weights = self._find(args[0]), self._find(args[1])
        if weights is None or weights.excluded is None:
            return
        if gradient is not None and gradient.rows is not None and gradient.size == weights.size:
            gradient.rows[1] -= gradient.each * weights.excluded
        self._keep(out, weights)

    def _find(self, tensor: Any) -> Trace | None:
        if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
            return None
        entry = self._traces.get(tensor.untyped_storage()._cdata)
        return None if entry is None or entry[0].expired() else entry[1]

    def _keep(self, tensor: torch.Tensor, trace: Trace) -> None:
        storage = tensor.untyped_storage()
        if len(self._traces) >= MOST:
            self._traces = {place: entry for place, entry in self._traces.items() if not entry[0].expired()}
        # the weak reference keeps the address from being given to other memory
        self._traces[storage._cdata] = StorageWeakRef(storage), trace
        self._sizes.update((trace.size, tensor.numel()))


def _masked(name: str, args: Any, source: torch.Tensor, trace: Trace, real: Callable[[Any], Any]) -> Trace:
    """The trace behind an op on scores: narrowed by a mask, if it is one."""
    scores = tuple(source.shape)
    if name in ("aten::add", "aten::add_") and len(args) > 1:
        other = args[1] if args[0] is source else args[0]
        if isinstance(other, torch.Tensor) and other.is_floating_point() and other.dim() <= source.dim():
            return _narrowed(trace, mask_pairs(real(other), scores), source.numel())
    if name in ("aten::masked_fill", "aten::masked_fill_") and _excludes(args[2], source.dtype):
        filled = mask_pairs(real(args[1]), scores)
        return _narrowed(trace, None if filled is None else source.numel() - filled, source.numel())
    if name == "aten::where" and args[1] is source and _excludes(args[2], source.dtype):
        return _narrowed(trace, mask_pairs(real(args[0]), scores), source.numel())
    return trace


def _narrowed(trace: Trace, allowed: int | None, size: int) -> Trace:
    if allowed is None:
        return replace(trace, unread=True)
    if allowed == size:
        return trace  # a bias: nothing is excluded
    return replace(trace, excluded=max(size - allowed, trace.excluded or 0))


def _excludes(value: Any, dtype: torch.dtype) -> bool:
    """Whether a number that scores are set to takes them out of a softmax."""
    if isinstance(value, torch.Tensor):
        if value.numel() != 1 or value.is_meta or value.__class__ is not torch.Tensor:
            return False
        value = value.item()
    return isinstance(value, (int, float)) and value <= max(limit(dtype), -1e4)
