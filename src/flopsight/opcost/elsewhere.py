"""Other projects' kernels whose shapes suffice, by the names and schemas that they publish.

    matrix products     aiter, bitsandbytes, fbgemm (mslk), sgl-kernel, torchao, vLLM (_C)
    norms, gates        RMSNorm, silu·x and gelu·x, rotary positions, writing into a cache

Attention over pages of a cache, mixtures routed on the device and packed weights hide their sizes: they have no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from flopsight.opcost.call import Call, Tensor, Unclear, dense, total
from flopsight.opcost.products import product, slower
from flopsight.opcost.value import OpCost

Formula = Callable[[Call], OpCost]


def _rows(x: Tensor) -> tuple[int, int]:
    if len(x.dims) < 2:
        raise Unclear("no matrix")
    return x.numel // max(1, x.dims[-1]), x.dims[-1]


def _product(a: int, b: int, *, rows: bool, out: int | None = None, into: int | None = None) -> Formula:
    """[.., k] by a weight of rows [n, k], or of columns [k, n]; written in the format asked for, or into a tensor."""

    def formula(call: Call) -> OpCost:
        x, weight = call.tensor(a), call.tensor(b)
        m, k = _rows(x)
        if len(weight.dims) != 2 or weight.dims[1 if rows else 0] != k:
            raise Unclear("inner sizes differ")
        n = weight.dims[0 if rows else 1]
        dtype = call.tensor(into).dtype if into is not None else call.dtype(out) if out is not None else ""
        usual = "bf16" if slower(x.dtype, weight.dtype) in NARROW else ""
        found = product([x, weight], 1, m, n, k, out=dtype or usual)
        target = [call.tensor(into)] if into is not None else []
        return replace(found, reads=_less(call.tensors(), target))

    return formula


NARROW: Final = frozenset({"fp8", "fp8_e5m2", "fp4", "int8", "uint8"})


def _less(tensors: Sequence[Tensor], targets: Sequence[Tensor]) -> int:
    """Bytes of all tensors but those that are written only."""
    every = total(list(tensors))
    return every if every < 0 else every - max(0, total(list(targets)))


def _elements(kind: str, each: int, read: Sequence[int], written: Sequence[int], by: int) -> Formula:
    """So many operations an element of the tensor at `by`; tensors read and written by place."""

    def formula(call: Call) -> OpCost:
        main = call.tensor(by)
        return OpCost(
            kind, "vector", main.dtype, elementwise=each * main.numel,
            reads=total([call.tensor(at) for at in read]), writes=total([call.tensor(at) for at in written]),
        )  # fmt: skip

    return formula


def _rotary(call: Call) -> OpCost:
    """(positions, query, key, head size, cosines and sines): 3 a rotated value, in place; a row of the table each."""
    positions, query = call.tensor(0), call.tensor(1)
    key, table = call.maybe(2), call.tensor(4)
    moved = [query, *([key] if key is not None else [])]
    rows = dense((positions.numel, *table.dims[-1:]), table.dtype)
    return OpCost(
        "elementwise", "vector", query.dtype, elementwise=3 * sum(t.numel for t in moved),
        reads=total([positions, *moved, rows]), writes=total(moved),
    )  # fmt: skip


def _store(call: Call) -> OpCost:
    """(key, value, key cache, value cache, slots): rows copied into a cache."""
    key, value, slots = call.tensor(0), call.tensor(1), call.tensor(4)
    return OpCost("copy", "copy", key.dtype, reads=total([key, value, slots]), writes=total([key, value]))


def _into(kind: str, each: int) -> Formula:
    """(out, input): a gate halves the last side."""
    return _elements(kind, each, (1,), (0,), 0)


def _table() -> dict[str, Formula]:
    found: dict[str, Formula] = {}
    for space in ("fbgemm", "mslk"):
        found |= {
            f"{space}::{name}": _product(0, 1, rows=True)
            for name in ("f8f8bf16", "f8f8bf16_rowwise", "f8f8bf16_blockwise", "f8f8bf16_tensorwise", "i8i8bf16")
        }
    found |= {f"aiter::gemm_{name}": _product(0, 1, rows=True) for name in ("a16w16", "a8w8", "a8w8_bpreshuffle")}
    found["aiter::gemm_a16w16"] = _product(0, 1, rows=True, out=3)
    found["bitsandbytes::int8_linear_matmul"] = _product(0, 1, rows=True)
    found |= {
        f"sgl_kernel::{name}": _product(0, 1, rows=False, out=4)
        for name in ("int8_scaled_mm", "fp8_scaled_mm", "fp8_blockwise_scaled_mm")
    }
    found |= {
        f"_C::{name}": _product(1, 2, rows=False, into=0) for name in ("cutlass_scaled_mm", "cutlass_scaled_mm_azp")
    }
    for space in ("_C", "sgl_kernel", "aiter"):
        found |= {f"{space}::silu_and_mul": _into("elementwise", 6), f"{space}::gelu_and_mul": _into("elementwise", 9)}
        found |= {
            f"{space}::{name}": _elements("normalization", 4, (1, 2), (0,), 1) for name in ("rms_norm", "rmsnorm")
        }
        # a residual is added first, and both are written
        for name in ("fused_add_rms_norm", "fused_add_rmsnorm"):
            found[f"{space}::{name}"] = _elements("normalization", 5, (0, 1, 2), (0, 1), 0)
        found[f"{space}::rotary_embedding"] = _rotary
    # (out, input, residual, its sum, weight)
    found["aiter::add_rmsnorm"] = _elements("normalization", 5, (1, 2, 4), (0, 3), 1)
    found |= dict.fromkeys(("_C_cache_ops::reshape_and_cache_flash", "sglang::store_cache"), _store)
    return found


TABLE: Final = _table()
