"""Products of other projects' kernels, by the names and schemas that they publish; none of them is needed here.

    bitsandbytes, fbgemm (and its successor mslk), torchao, vLLM (`_C`), sgl-kernel

All are 2·rows·k·n. An argument list that changes later makes the formula fail, which is said, not guessed.
"""

from __future__ import annotations

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.formulas.quantized import halved
from flopsight.torch.registry import formula, same

_FBGEMM = ("f8f8bf16", "f8f8bf16_rowwise", "f8f8bf16_blockwise", "f8f8bf16_tensorwise", "f8f8bf16_cublas",
           "f8i4bf16_rowwise", "bf16i4bf16_rowwise", "i8i8bf16", "i8i8bf16_dynamic")  # fmt: skip


@formula(
    "bitsandbytes::int8_linear_matmul", "bitsandbytes::int8_scaled_mm", "bitsandbytes::gemv_4bit",
    *(f"{space}::{name}" for space in ("fbgemm", "mslk") for name in _FBGEMM),
    "torchao::rowwise_scaled_linear_cutlass_s8s4", "torchao::marlin_qqq_gemm",
    "sgl_kernel::int8_scaled_mm", "sgl_kernel::fp8_scaled_mm", "sgl_kernel::fp8_blockwise_scaled_mm",
    "sgl_kernel::gptq_marlin_gemm", "sgl_kernel::gptq_gemm",
    "_C::gptq_marlin_gemm", "_C::gptq_gemm", "_C::awq_gemm", "_C::machete_mm", "_C::marlin_gemm",
)  # fmt: skip
def linear(call: Call) -> Flops:
    """[.., k] first; the output's last side is n, whatever the packing of the weight."""
    return same(2 * call.args[0].numel() * call.result.shape[-1])


@formula("torchao::marlin_24_gemm", "torchao::rowwise_scaled_linear_sparse_cutlass_f8f8", "_C::gptq_marlin_24_gemm")
def half_linear(call: Call) -> Flops:
    """The same with two of four weights left out."""
    return halved(2 * call.args[0].numel() * call.result.shape[-1])


@formula(
    "_C::cutlass_scaled_mm", "_C::cutlass_scaled_mm_azp", "sgl_kernel::dsv3_router_gemm",
    "sgl_kernel::dsv3_fused_a_gemm",
)  # fmt: skip
def into(call: Call) -> Flops:
    """The output [m, n] is the first argument, [m, k] the second."""
    return same(2 * call.args[1].numel() * call.args[0].shape[-1])
