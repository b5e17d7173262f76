"""Matrix products: 2·b·m·n·k FLOPs, operands read once and the result written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Final

from flopsight.counted import Flops
from flopsight.opcost.call import Call, Tensor, Unclear, dense, total
from flopsight.opcost.dtypes import BYTES
from flopsight.opcost.value import OpCost

Formula = Callable[[Call], OpCost]


def product(
    operands: list[Tensor], batch: int, m: int, n: int, k: int, *, out: str = "", note: str = ""
) -> OpCost:  # fmt: skip
    """A batch of [m, k] x [k, n]; `out` is the format of the result where it is not that of the operands."""
    dtype = slower(operands[0].dtype, operands[1].dtype)
    flops = 2 * batch * m * n * k
    made = dense((batch, m, n), out or dtype)
    return OpCost(
        "gemm", "matrix", dtype, Flops(flops, flops, flops), 0, total(operands), total([made]), (batch, m, n, k), note
    )


def slower(a: str, b: str) -> str:
    """The format of a product of two: that of the wider operand (weights of 4 or 8 bits are widened first)."""
    return a if BYTES.get(a, 0) >= BYTES.get(b, 0) else b


def _matrix(one: Tensor) -> tuple[int, int]:
    if len(one.dims) != 2:
        raise Unclear("no matrix")
    return one.dims[0], one.dims[1]


def _mm(a: int, out: str = "") -> Formula:
    """Two matrices, the left one at place `a`; a bias before them, or a format right behind them."""

    def formula(call: Call) -> OpCost:
        left, right = call.tensor(a), call.tensor(a + 1)
        (m, k), (k2, n) = _matrix(left), _matrix(right)
        if k != k2:
            raise Unclear("inner sizes differ")
        return product([left, right, *_before(call, a)], 1, m, n, k, out=out or _asked(call, a))

    return formula


def _bmm(a: int) -> Formula:
    """The same for a batch."""

    def formula(call: Call) -> OpCost:
        left, right = call.tensor(a), call.tensor(a + 1)
        x, y = left.dims, right.dims
        if len(x) != 3 or len(y) != 3 or x[2] != y[1] or x[0] != y[0]:
            raise Unclear("no batched product")
        return product([left, right, *_before(call, a)], x[0], x[1], y[2], x[2], out=_asked(call, a))

    return formula


def _before(call: Call, a: int) -> list[Tensor]:
    return [one for i in range(a) if (one := call.maybe(i)) is not None]


def _asked(call: Call, a: int) -> str:
    """The format of mm(.., out_dtype): behind the operands, which beta and alpha are too."""
    size = len(call.signature.dims)
    return call.dtype(a + 2) if size == (6 if a else 3) else ""


def _summed(call: Call) -> OpCost:
    """addbmm: a matrix and the sum over the batch of [b, m, k] x [b, k, n]."""
    left, right = call.tensor(1), call.tensor(2)
    x, y = left.dims, right.dims
    if len(x) != 3 or len(y) != 3 or x[2] != y[1] or x[0] != y[0]:
        raise Unclear("no batched product")
    return product([left, right, *_before(call, 1)], 1, x[1], y[2], x[0] * x[2])


def _vector(a: int) -> Formula:
    def formula(call: Call) -> OpCost:
        left, right = call.tensor(a), call.tensor(a + 1)
        m, k = _matrix(left)
        if right.dims != (k,):
            raise Unclear("sizes differ")
        return product([left, right, *_before(call, a)], 1, m, 1, k)

    return formula


def _dot(call: Call) -> OpCost:
    left, right = call.tensor(0), call.tensor(1)
    if left.dims != right.dims or len(left.dims) != 1:
        raise Unclear("sizes differ")
    return product([left, right], 1, 1, 1, left.dims[0])


def _linear(call: Call) -> OpCost:
    x, weight = call.tensor(0), call.tensor(1)
    if not x.dims or len(weight.dims) not in (1, 2) or x.dims[-1] != weight.dims[-1]:
        raise Unclear("sizes differ")
    n = weight.dims[0] if len(weight.dims) == 2 else 1
    return product([x, weight, *call.tensors()[2:]], 1, prod(x.dims[:-1]), n, x.dims[-1], out=x.dtype)


def _matmul(call: Call) -> OpCost:
    left, right = call.tensor(0), call.tensor(1)
    if not left.dims or not right.dims:
        raise Unclear("no matrices")
    a = left.dims if len(left.dims) > 1 else (1, *left.dims)
    b = right.dims if len(right.dims) > 1 else (*right.dims, 1)
    if a[-1] != b[-2]:
        raise Unclear("inner sizes differ")
    if len(b) == 2:
        return product([left, right], 1, prod(a[:-1]), b[-1], a[-1])
    return product([left, right], prod(broadcast(a[:-2], b[:-2])), a[-2], b[-1], a[-1])


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of several; Unclear where there is none."""
    size = max((len(s) for s in shapes), default=0)
    found = []
    for at in range(-size, 0):
        dims = {s[at] for s in shapes if len(s) >= -at} - {1}
        if len(dims) > 1:
            raise Unclear("shapes do not fit together")
        found.append(dims.pop() if dims else 1)
    return tuple(found)


def _scaled(out: int) -> Formula:
    """[m, k] x [k, n]; pairs of 4-bit numbers are stored in one element, so k counts twice."""

    def formula(call: Call) -> OpCost:
        left, right = call.tensor(0), call.tensor(1)
        (m, k), (k2, n) = _matrix(left), _matrix(right)
        if k != k2:
            raise Unclear("inner sizes differ")
        return product(call.tensors(), 1, m, n, k * packed(left), out=call.dtype(out) or left.dtype)

    return formula


def packed(one: Tensor) -> int:
    """Numbers in a stored element: two of 4 bits."""
    return 2 if one.dtype == "fp4" else 1


def _int4(call: Call) -> OpCost:
    """x [m, k] by weights packed to 4 bits: [n/8, k/(16·inner), 32, inner/2] of int32, or [n, k/2] of bytes."""
    x, weight = call.tensor(0), call.tensor(1)
    m, k = _matrix(x)
    if len(weight.dims) not in (2, 4):
        raise Unclear("no packed weight")
    n = weight.dims[0] * (8 if len(weight.dims) == 4 else 1)
    found = product([x, x], 1, m, n, k)
    return replace(found, reads=total(call.tensors()))


def _half(left: int, right: int, out: int) -> Formula:
    """Two of four weights are zero and left out of [m, k / 2] x [k, n]: required whole, executed half."""

    def formula(call: Call) -> OpCost:
        (m, half), (k, n) = _matrix(call.tensor(left)), _matrix(call.tensor(right))
        if 2 * half != k:
            raise Unclear("inner sizes differ")
        found = product([call.tensor(right)] * 2, 1, m, n, k, out=call.dtype(out))
        whole = found.flops.required
        return replace(found, flops=Flops(whole, whole, whole // 2), reads=total(call.tensors()))

    return formula


TABLE: Final[dict[str, Formula]] = {
    "aten::mm": _mm(0), "aten::addmm": _mm(1), "aten::addmm_": _mm(1), "aten::_addmm_activation": _mm(1),
    "aten::bmm": _bmm(0), "aten::baddbmm": _bmm(1), "aten::baddbmm_": _bmm(1), "aten::addbmm": _summed,
    "aten::addbmm_": _summed, "aten::mv": _vector(0), "aten::addmv": _vector(1), "aten::addmv_": _vector(1),
    "aten::dot": _dot, "aten::vdot": _dot, "aten::linear": _linear,
    "aten::mkldnn_linear": _linear, "mkldnn::_linear_pointwise": _linear, "aten::matmul": _matmul,
    "aten::_scaled_mm": _scaled(6), "aten::_scaled_mm_v2": _scaled(9), "aten::_int_mm": _mm(0, "int32"),
    "aten::_weight_int4pack_mm": _int4, "aten::_weight_int4pack_mm_for_cpu": _int4,
    "aten::_weight_int8pack_mm": _linear, "aten::_sparse_semi_structured_mm": _half(0, 2, 3),
    "aten::_sparse_semi_structured_addmm": _half(1, 3, 6),
}  # fmt: skip
