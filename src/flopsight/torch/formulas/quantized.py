"""Products of quantized or compressed matrices: as many FLOPs as the plain product, in fewer bytes.

Scales, zero points and activations fused into a kernel are not matrix work. Two-of-four sparsity: the model requires
the dense product, the kernel multiplies half of it.
"""

from __future__ import annotations

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.formulas.grouped import values_a_byte
from flopsight.torch.registry import formula, same


@formula("aten::_scaled_mm", "aten::_scaled_mm_v2", "quantized::matmul")
def scaled_product(call: Call) -> Flops:
    """[.., m, k] times [.., k, n], in fp8, fp4 or int8."""
    left, right = call.args[0], call.args[1]
    return same(2 * left.numel() * values_a_byte(left) * right.shape[-1])


@formula(
    "aten::_weight_int8pack_mm", "aten::_weight_int4pack_mm", "aten::_weight_int4pack_mm_for_cpu",
    "aten::_weight_int4pack_mm_with_scales_and_zeros", "aten::_dyn_quant_matmul_4bit", "aten::_mixed_dtypes_linear",
    "aten::fbgemm_linear_int8_weight", "aten::fbgemm_linear_int8_weight_fp32_activation",
    "aten::fbgemm_linear_fp16_weight", "aten::fbgemm_linear_fp16_weight_fp32_activation",
    "aten::_wrapped_quantized_linear_prepacked", "_quantized::_wrapped_quantized_linear_prepacked",
    "_quantized::wrapped_quantized_linear", "_quantized::wrapped_fbgemm_linear_fp16_weight",
    "quantized::linear", "quantized::linear_relu", "quantized::linear_leaky_relu", "quantized::linear_tanh",
    "quantized::linear_dynamic", "quantized::linear_relu_dynamic", "quantized::linear_dynamic_fp16",
    "quantized::linear_relu_dynamic_fp16", "quantized::linear_dynamic_fp16_unpacked_weight",
    "quantized::linear_with_input_q_dq_qweight_dq_output_fp32",
    "quantized::linear_with_input_q_dq_qweight_dq_relu_output_fp32",
    "_quantized::linear", "_quantized::linear_dynamic",
    "onednn::qlinear_pointwise", "onednn::linear_dynamic_fp16", "onednn::linear_relu_dynamic_fp16",
    "mkl::_mkl_linear",
)  # fmt: skip
def packed_linear(call: Call) -> Flops:
    """[.., k] times a weight whose shape its packing hides: the output's last side tells it."""
    return same(2 * call.args[0].numel() * call.result.shape[-1])


def halved(dense: int) -> Flops:
    """Two of four weights are zero and left out."""
    return Flops(dense, dense, dense // 2)


@formula("aten::_sparse_semi_structured_linear")
def half_linear(call: Call) -> Flops:
    """[.., k] times a compressed [n, k / 2]."""
    return halved(2 * call.args[0].numel() * call["weight"].shape[0])


@formula("aten::_sparse_semi_structured_mm", "aten::_sparse_semi_structured_addmm")
def half_product(call: Call) -> Flops:
    """A compressed [m, k / 2] times [k, n]."""
    return halved(2 * call["mat1"].shape[0] * call["mat2"].numel())


@formula("aten::_cslt_sparse_mm")
def half_library_product(call: Call) -> Flops:
    """A compressed matrix of m rows times [k, n]; the output is [m, n] or its transpose."""
    return halved(2 * call["dense_B"].shape[0] * call.result.numel())
