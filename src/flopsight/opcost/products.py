"""Matrix products: 2·b·m·n·k FLOPs, operands read once and the result written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Final

from flopsight.counted import Flops
from flopsight.opcost.call import Call, Tensor, Unclear, total
from flopsight.opcost.dtypes import BYTES
from flopsight.opcost.value import OpCost

Formula = Callable[[Call], OpCost]


def product(
    operands: list[Tensor], batch: int, m: int, n: int, k: int, *, out: str = "", note: str = ""
) -> OpCost:  # fmt: skip
    """A batch of [m, k] x [k, n]."""
    dtype = _slower(operands[0].dtype, operands[1].dtype)
    flops = 2 * batch * m * n * k
    size = BYTES.get(out or dtype)
    writes = -1 if size is None else batch * m * n * size
    return OpCost(
        "gemm", "matrix", dtype, Flops(flops, flops, flops), 0, total(operands), writes, (batch, m, n, k), note
    )


def _slower(a: str, b: str) -> str:
    """The format of a product of two: that of the wider operand (weights of 4 or 8 bits are widened first)."""
    return a if BYTES.get(a, 0) >= BYTES.get(b, 0) else b


def _matrix(one: Tensor) -> tuple[int, int]:
    if len(one.dims) != 2:
        raise Unclear("no matrix")
    return one.dims[0], one.dims[1]


def _mm(a: int, b: int) -> Formula:
    def formula(call: Call) -> OpCost:
        left, right = call.tensor(a), call.tensor(b)
        (m, k), (k2, n) = _matrix(left), _matrix(right)
        if k != k2:
            raise Unclear("inner sizes differ")
        bias = [one for i in range(a) if (one := call.maybe(i)) is not None]
        return product([left, right, *bias], 1, m, n, k)

    return formula


def _bmm(a: int, b: int) -> Formula:
    def formula(call: Call) -> OpCost:
        left, right = call.tensor(a), call.tensor(b)
        if (
            len(left.dims) != 3
            or len(right.dims) != 3
            or left.dims[2] != right.dims[1]
            or left.dims[0] != right.dims[0]
        ):
            raise Unclear("no batched product")
        bias = [one for i in range(a) if (one := call.maybe(i)) is not None]
        return product([left, right, *bias], left.dims[0], left.dims[1], right.dims[2], left.dims[2])

    return formula


def _vector(a: int, b: int) -> Formula:
    def formula(call: Call) -> OpCost:
        left, right = call.tensor(a), call.tensor(b)
        m, k = _matrix(left)
        if right.dims != (k,):
            raise Unclear("sizes differ")
        return product([left, right], 1, m, 1, k)

    return formula


def _dot(call: Call) -> OpCost:
    left, right = call.tensor(0), call.tensor(1)
    if left.dims != right.dims or len(left.dims) != 1:
        raise Unclear("sizes differ")
    return product([left, right], 1, 1, 1, left.dims[0])


def _linear(call: Call) -> OpCost:
    x, weight = call.tensor(0), call.tensor(1)
    if not x.dims or x.dims[-1] != weight.dims[-1] or len(weight.dims) not in (1, 2):
        raise Unclear("sizes differ")
    n = weight.dims[0] if len(weight.dims) == 2 else 1
    bias = call.maybe(2)
    return product([x, weight, *([bias] if bias else [])], 1, prod(x.dims[:-1]), n, x.dims[-1])


def _matmul(call: Call) -> OpCost:
    left, right = call.tensor(0), call.tensor(1)
    a = left.dims if len(left.dims) > 1 else (1, *left.dims)
    b = right.dims if len(right.dims) > 1 else (*right.dims, 1)
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
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


def _scaled_mm(call: Call) -> OpCost:
    """[m, k] x [k, n]; pairs of 4-bit numbers are stored in one element, so k counts twice."""
    left, right = call.tensor(0), call.tensor(1)
    (m, k), (_, n) = _matrix(left), _matrix(right)
    return product([left, right], 1, m, n, k * (2 if left.dtype == "fp4" else 1), out="bf16")


def _grouped_mm(call: Call) -> OpCost:
    """[t, k] x [groups, k, n] by rows, [groups, m, k] x [groups, k, n], or [m, t] x [t, n] by inner sizes."""
    left, right = call.tensor(0), call.tensor(1)
    a, b = left.dims, right.dims
    offsets = next((one for i in range(2, 6) if (one := call.maybe(i)) is not None and len(one.dims) == 1), None)
    groups = offsets.dims[0] if offsets else 1
    if len(a) == 2 and len(b) == 3 and a[1] == b[1]:
        return product([left, right], 1, a[0], b[2], a[1], out="bf16", note="rows of each group are not recorded")
    if len(a) == 3 and len(b) == 3 and a[2] == b[1]:
        return product([left, right], a[0], a[1], b[2], a[2], out="bf16")
    if len(a) == 3 and len(b) == 2 and a[2] == b[0]:
        return product([left, right], 1, a[1], b[1], a[2], out="bf16")
    if len(a) == 2 and len(b) == 2 and a[1] == b[0]:
        found = product([left, right], 1, a[0], b[1], a[1], out="bf16")
        return replace(found, writes=found.writes * groups)
    raise Unclear("no grouped product")


def _int4(call: Call) -> OpCost:
    """x [m, k] by weights packed to 4 bits, [n/8, k/(16·inner), 32, inner/2]."""
    x, packed = call.tensor(0), call.tensor(1)
    m, k = _matrix(x)
    if not k or len(packed.dims) < 2:
        raise Unclear("no packed weight")
    n = packed.dims[0] * 8 if len(packed.dims) == 4 else packed.dims[0]
    flops = 2 * m * n * k
    size = x.bytes
    reads, writes = (-1, -1) if size is None else (size + n * k // 2, size // k * n)
    return OpCost("gemm", "matrix", x.dtype, Flops(flops, flops, flops), 0, reads, writes, (1, m, n, k))


TABLE: Final[dict[str, Formula]] = {
    "aten::mm": _mm(0, 1), "aten::addmm": _mm(1, 2), "aten::addmm_": _mm(1, 2), "aten::_addmm_activation": _mm(1, 2),
    "aten::bmm": _bmm(0, 1), "aten::baddbmm": _bmm(1, 2), "aten::baddbmm_": _bmm(1, 2), "aten::mv": _vector(0, 1),
    "aten::addmv": _vector(1, 2), "aten::addmv_": _vector(1, 2), "aten::dot": _dot, "aten::vdot": _dot,
    "aten::linear": _linear, "aten::mkldnn_linear": _linear, "aten::_mkl_linear": _linear,
    "mkldnn::_linear_pointwise": _linear, "aten::matmul": _matmul, "aten::_scaled_mm": _scaled_mm,
    "aten::_scaled_mm_v2": _scaled_mm, "aten::_grouped_mm": _grouped_mm, "aten::_scaled_grouped_mm": _grouped_mm,
    "aten::_int_mm": _mm(0, 1), "aten::_weight_int4pack_mm": _int4, "aten::_weight_int8pack_mm": _linear,
}  # fmt: skip
