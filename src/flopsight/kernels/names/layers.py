"""Layers that are no products: norms, softmax and losses, optimizers, quantization, embeddings and rotations.

Apex, Megatron, Transformer Engine, Liger, Unsloth, bitsandbytes, vLLM, SGLang, FlashInfer, llama.cpp.
"""

from typing import Final

from flopsight.kernels.names import Rows

NORMS: Final[Rows] = (
    ("embedding", "rope_norm rope_neox rope_multi rope_vision"),
    ("reduction", "lp_norm l2_norm_kernel multi_tensor_l2norm l_norm_functor+multi_tensor weight_norm_grad"),
    ("optimizer", """
        _adam adamw fused_sgd _sgd_ lamb_stage _lamb_ fused_lion _lion_ adagrad+!embedding rmsprop fused_optimizer
        optimizer_ k_optimizer muon newton_schulz shampoo schedule_free
    """),
    ("normalization", """
        rms_norm rmsnorm layer_norm layernorm batch_norm batchnorm _bn_fw _bn_bw bn_fwd bn_bwd bn_infer group_norm
        groupnorm instance_norm instancenorm norm_fwd norm_bwd rowwise_moments gamma_beta compute_internal_gradients
        cu_normal _ln_fwd _ln_bwd ln_kernel l2norm l2_norm qk_norm add_norm norm_kernel _norm_ norm_f32 weight_norm
        local_response lrn_ cudnn_norm spatial_norm welford
    """),
    ("softmax", "softmax soft_max cross_entropy logsumexp log_sum_exp linear_cross"),
    ("reduction", "nll_loss"),
)  # fmt: skip
QUANTIZATION: Final[Rows] = (
    ("gemm", """
        dequantize_mul_mat quant_gemm quantized_gemm quantized_matmul gemm_dequant quant_matmul matmul_4bit
        gemm_4bit gemv_4bit
    """),
    ("quantization", """
        quantize quantise _quant dequant per_block_cast per_token_cast cast_transpose amax_ _amax fp8_cast cast_fp8
        cast_to_fp8 static_scaled dynamic_scaled scale_interleave block_scale_inter scale_1d_block nvfp4_ mxfp4_
        mxfp8_ repack pack_int4 hadamard quant_mxfp transpose_and_pack_fp32 pack_fp32_into_ue8m0 transpose_fp32
        swizzle_scale
    """),
)  # fmt: skip
LOOKUPS: Final[Rows] = (
    ("embedding", """
        embedding rotary _rope rope_ mrope apply_rot gather_vocab vocab_parallel k_get_rows rotate_half _pos_enc
        position_emb pos_emb
    """),
    ("random", """
        dropout philox bernoulli distribution_elementwise uniform_kernel curand hiprand rocrand generate_seed
        normal_kernel multinomial gumbel _rng rng_ random threefry sampling _sample_ sample_kernel randperm
    """),
    ("sort", """
        radix_sort radixsort bitonic sort_kernel sort_pairs merge_sort mergesort segmented_sort sort_kv _topk topk_
        _top_k top_k_ _topp top_p gather_top argsort onesweep block_sort device_merge sort_postprocess sort_lookback
        thrust+sort
    """),
)  # fmt: skip
