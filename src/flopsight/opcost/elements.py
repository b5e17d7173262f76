"""Ops on elements: each element of the output from those at the same place, inputs broadcast."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from flopsight.opcost.call import Call, Tensor, dense, main_dtype, promoted, total
from flopsight.opcost.dtypes import COMPLEX, FLOATS
from flopsight.opcost.products import broadcast
from flopsight.opcost.value import OpCost
from flopsight.opnames import COMPARISON, ELEMENTWISE, FLOPS_AN_ELEMENT, names

FLOAT_RESULT: Final = names(
    """
    div true_divide sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh asin acos atan asinh
    acosh atanh sigmoid erf erfc erfinv reciprocal lgamma digamma logit sinc rad2deg deg2rad i0 float_power
    """
)
"""Of whole numbers they make floating-point numbers."""
REAL_NUMBER: Final = re.compile(r"-?\d*(\.\d*|\.?\d*e[+-]?\d+)|-?inf|nan", re.IGNORECASE)
CHOICE: Final = frozenset({"where", "masked_fill"})
"""They only move values."""
DROPOUT: Final = names("dropout feature_dropout alpha_dropout native_dropout")


def elementwise(call: Call, name: str) -> OpCost:
    """One operation an element of the output, or as many as the table of the counter says."""
    tensors = _of_memory(call.tensors())
    plain = name.removesuffix("_")
    shape = tensors[0].dims if plain != name else broadcast(*(t.dims for t in tensors))
    dtype = tensors[0].dtype if plain != name else _result(call, plain, tensors)
    out = dense(shape, dtype)
    each = 0 if plain in CHOICE else FLOPS_AN_ELEMENT.get(name, 1)
    return worked("elementwise", each, tensors, [out])


def _of_memory(tensors: list[Tensor]) -> list[Tensor]:
    """Those that lie in memory: a number is recorded as one element of 8 bytes, and is passed by value."""
    if not any(t.dims for t in tensors):
        return tensors
    return [t for t in tensors if t.dims or t.dtype not in ("fp64", "int64")]


def numbers(x: Tensor) -> int:
    """One operation an element, where they are of floating point."""
    return 0 if x.dtype in WHOLE else x.numel


def worked(kind: str, each: int, read: list[Tensor], written: list[Tensor]) -> OpCost:
    """So many operations an element of what is written, where that is of floating point."""
    work = each * sum(t.numel for t in written if t.dtype not in WHOLE)
    return moved(kind, work, read, written)


def moved(kind: str, work: int, read: list[Tensor], written: list[Tensor], engine: str = "vector") -> OpCost:
    """Tensors read and written, and so much work."""
    dtype = main_dtype(read or written)
    return OpCost(kind, engine, dtype, elementwise=work, reads=total(read), writes=total(written))


WHOLE: Final = frozenset({"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"})


def _result(call: Call, name: str, tensors: list[Tensor]) -> str:
    if name in COMPARISON:
        return "bool"
    if name in ("where", "masked_fill"):
        return promoted(tensors[1:]) if name == "where" and len(tensors) > 1 else tensors[0].dtype
    dtype = promoted(tensors)
    if name in ("abs", "angle") and dtype in COMPLEX:
        return "fp32" if dtype == "complex64" else "fp64"
    if dtype in FLOATS or dtype in COMPLEX or not dtype:
        return dtype
    real = any(REAL_NUMBER.fullmatch(value) for value in call.signature.values) or "double" in call.signature.types
    # PyTorch's default format of floating point
    return "fp32" if real or name in FLOAT_RESULT else dtype


def on_lists(call: Call, name: str) -> OpCost:
    """_foreach_*: the same for every tensor of the first list; what is in place writes them."""
    first, every = call.listed(0), call.tensors()
    work = FLOPS_AN_ELEMENT.get(name, 1) * sum(t.numel for t in first)
    return moved("elementwise", work, every, first)


def copied_lists(call: Call) -> OpCost:
    """_foreach_copy_(targets, sources)."""
    return moved("copy", 0, call.listed(1), call.listed(0), "copy")


def outer(call: Call) -> OpCost:
    """addr(matrix, vector, vector)"""
    m, n = call.tensor(1), call.tensor(2)
    out = dense((m.numel, n.numel), promoted(call.tensors()))
    return worked("elementwise", FLOPS_AN_ELEMENT["addr"], call.tensors(), [out])


def halved(call: Call) -> OpCost:
    """glu(x, dim): one half of a dimension gates the other."""
    x = call.tensor(0)
    return worked("elementwise", 1, [x], [dense((x.numel // 2,), x.dtype)])


def halved_backward(call: Call) -> OpCost:
    """glu_backward(gradient, x, dim)"""
    x = call.tensor(1)
    return worked("elementwise", 1, call.tensors(), [dense(x.dims, x.dtype)])


def kept(call: Call) -> OpCost:
    """log_sigmoid_forward: a buffer of the same size is written on processors, none on GPUs."""
    x = call.tensor(0)
    return worked("elementwise", 1, [x], [dense(x.dims, x.dtype)])


def dropped(call: Call, name: str) -> OpCost:
    """Dropout: native_dropout writes its mask too."""
    x = call.tensor(0)
    written = [dense(x.dims, x.dtype)]
    cost = worked("random", 1, [x], written)
    return (
        cost if name != "native_dropout" else moved("random", cost.elementwise, [x], [*written, dense(x.dims, "bool")])
    )


def known(name: str) -> bool:
    """Whether an aten op works element by element."""
    plain = name.removesuffix("_")
    return plain in ELEMENTWISE or plain in CHOICE


TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    "aten::addr": outer, "aten::addr_": outer, "aten::glu": halved, "aten::glu_backward": halved_backward,
    "aten::log_sigmoid_forward": kept,
}  # fmt: skip
