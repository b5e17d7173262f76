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
MOST: Final = 512


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known of a tensor.

    rows      sums of the product that made it, [calls, required, ...], until a softmax is met; `each` FLOPs of it an
              element of the tensor (0 where the product is not required anyway)
    size      elements
    allowed   elements that a mask lets through; None where none was met
    unread    a mask was met whose values nobody can read
    """

    rows: list[int] | None
    each: int
    size: int
    allowed: int | None = None
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
            if trace is not None and trace.rows is None and trace.allowed is not None and trace.size:
                excluded = required // trace.size * (trace.size - trace.allowed)
                row[1] -= excluded
                return  # the output of the mix is not a score
        if out.dim() >= 3 and out.numel():
            self._keep(out, Trace(row, required // out.numel(), out.numel()))

    def elements(self, name: str, args: Any, out: Any, real: Callable[[Any], Any] | None) -> None:
        """An op on elements ran."""
        if not isinstance(out, torch.Tensor) or out.numel() not in self._sizes:
            return
        found = [
            (t, trace) for t in tensors(args) if (trace := self._find(t)) is not None and trace.size == out.numel()
        ]
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

    def _settled(self, trace: Trace, out: torch.Tensor) -> None:
        """A softmax: what was masked before it is not required."""
        if trace.unread:
            self._note(UNREAD)
        if trace.allowed is None:
            return
        if trace.rows is not None:
            trace.rows[1] -= trace.each * (trace.size - trace.allowed)
        self._keep(out, Trace(None, 0, trace.size, trace.allowed))

    def _backward(self, args: Any, out: torch.Tensor) -> None:
        gradient, weights = self._find(args[0]), self._find(args[1])
        if weights is None or weights.allowed is None:
            return
        if gradient is not None and gradient.rows is not None and gradient.size == weights.size:
            gradient.rows[1] -= gradient.each * (weights.size - weights.allowed)
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
        self._sizes.add(trace.size)


def _masked(name: str, args: Any, source: torch.Tensor, trace: Trace, real: Callable[[Any], Any]) -> Trace:
    """The trace behind an op on scores: narrowed by a mask, if it is one."""
    scores = tuple(source.shape)
    if name in ("aten::add", "aten::add_") and len(args) > 1:
        other = args[1] if args[0] is source else args[0]
        if isinstance(other, torch.Tensor) and other.is_floating_point() and other.dim() <= source.dim():
            return _narrowed(trace, mask_pairs(real(other), scores), trace.size)
    if name in ("aten::masked_fill", "aten::masked_fill_") and _excludes(args[2], source.dtype):
        filled = mask_pairs(real(args[1]), scores)
        return _narrowed(trace, None if filled is None else trace.size - filled, trace.size)
    if name == "aten::where" and args[1] is source and _excludes(args[2], source.dtype):
        return _narrowed(trace, mask_pairs(real(args[0]), scores), trace.size)
    return trace


def _narrowed(trace: Trace, allowed: int | None, size: int) -> Trace:
    if allowed is None:
        return replace(trace, unread=True)
    if allowed == size:
        return trace  # a bias: nothing is excluded
    return replace(trace, allowed=allowed if trace.allowed is None else min(trace.allowed, allowed))


def _excludes(value: Any, dtype: torch.dtype) -> bool:
    """Whether a number that scores are set to takes them out of a softmax."""
    if isinstance(value, torch.Tensor):
        if value.numel() != 1 or value.is_meta or value.__class__ is not torch.Tensor:
            return False
        value = value.item()
    return isinstance(value, (int, float)) and value <= max(limit(dtype), -1e4)
