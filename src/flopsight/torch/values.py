"""Values of small tensors beside abstract ones, so that a program that looks at its masks and positions can go on.

Under FakeTensorMode nothing has a value: `mask.all()` raises, and how many pairs a mask allows is unknown. This mode
sits above it and computes for real whatever follows from constants and from the inputs whose values are known, which
in a transformer are token ids, positions and masks. Whatever touches weights stays abstract.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.weak import WeakIdKeyDictionary

LARGEST: Final = 1 << 28
"""Elements of a tensor that is computed for real; a mask of 16,384 by 16,384."""
_MADE: Final = frozenset({"arange", "zeros", "ones", "full", "scalar_tensor", "eye", "tril_indices", "triu_indices"})
_GROUPED: Final = torch.ops.aten._grouped_mm.default
_ITEM: Final = torch.ops.aten._local_scalar_dense.default


class Values(TorchDispatchMode):
    """Knows the values of some abstract tensors, for as long as these live."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self._known: Any = WeakIdKeyDictionary()

    def learn(self, abstract: torch.Tensor, real: torch.Tensor) -> None:
        """The value of an abstract tensor."""
        self._known[abstract] = real

    def real(self, value: Any) -> Any:
        """A known tensor for an abstract one; anything else as it is."""
        return self._known.get(value, value) if isinstance(value, FakeTensor) else value

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the op abstractly, and for real where everything it reads is known."""
        kwargs = kwargs or {}
        if op is _ITEM and not isinstance(self.real(args[0]), FakeTensor):
            return self._compute(op, args, kwargs)
        if op is _GROUPED and args[0].dtype is not torch.bfloat16:
            return _in_bf16(op, args, kwargs)
        known = self._follows(op, args, kwargs)
        try:
            out = op(*args, **kwargs)
        except Exception:
            if not known:
                raise
            return self._shape_of(self._compute(op, args, kwargs))  # its shape depends on values
        if known:
            self._pair(out, self._compute(op, args, kwargs))
        elif isinstance(op, torch._ops.OpOverload) and op._schema.is_mutable:
            self._forget(op, args)
        return out

    def _follows(self, op: Any, args: Any, kwargs: Any) -> bool:
        if not isinstance(op, torch._ops.OpOverload) or torch.Tag.nondeterministic_seeded in op.tags:
            return False
        given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
        if not given:
            return op._schema.name.removeprefix("aten::") in _MADE
        return not any(isinstance(self.real(tensor), FakeTensor) for tensor in given)

    def _compute(self, op: Any, args: Any, kwargs: Any) -> Any:
        args, kwargs = tree_map(self.real, (args, kwargs))
        if "device" in kwargs:
            kwargs = {**kwargs, "device": "cpu"}
        with _disable_current_modes():
            return op(*args, **kwargs)

    def _pair(self, out: Any, real: Any) -> None:
        for abstract, value in zip(tree_flatten(out)[0], tree_flatten(real)[0], strict=True):
            if isinstance(abstract, FakeTensor):
                self.learn(abstract, value)

    def _shape_of(self, real: Any) -> Any:
        def make(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            abstract = torch.empty(value.shape, dtype=value.dtype)
            self.learn(abstract, value)
            return abstract

        return tree_map(make, real)

    def _forget(self, op: Any, args: Any) -> None:
        for argument, value in zip(op._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write and isinstance(value, FakeTensor):
                self._known.pop(value, None)


def _in_bf16(op: Any, args: Any, kwargs: Any) -> Any:
    """The abstract grouped product exists in bf16 only; its shapes are those of every format."""
    left, right, *rest = args
    return op(left.to(torch.bfloat16), right.to(torch.bfloat16), *rest, **kwargs).to(left.dtype)
