"""Names of aten ops by what they do: free, moving, arithmetic on elements, a contraction.

Shared by the counter of running programs and by the cost of recorded ops.
"""

from __future__ import annotations

import re
from typing import Final


def names(text: str) -> frozenset[str]:
    """Words of a text."""
    return frozenset(text.split())


FREE: Final = names(
    """
    _unsafe_view detach alias lift lift_fresh empty empty_strided empty_like new_empty new_empty_strided
    _local_scalar_dense is_same_size _has_compatible_shallow_copy_type record_stream resize_ set_ _reshape_alias
    is_pinned _pin_memory item equal sym_size sym_stride sym_numel sym_storage_offset is_contiguous
    _assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async
    dim size stride numel storage_offset
    sym_is_contiguous is_strides_like_format is_non_overlapping_and_dense _nested_view_from_buffer
    unsafe_split unsafe_split_with_sizes unsafe_chunk retain_grad requires_grad_
    squeeze_ unsqueeze_ t_ transpose_ detach_ swapaxes_ as_strided as_strided_ resize resize_as resize_as_
    _resize_output _resize_output_ set empty_permuted empty_quantized _empty_affine_quantized
    _empty_per_channel_affine_quantized
    _efficientzerotensor _has_same_storage_numel _foobar _dimI _dimV _nnz is_coalesced is_set_to dense_dim sparse_dim
    sparse_resize sparse_resize_ sparse_resize_and_clear sparse_resize_and_clear_ resize_as_sparse resize_as_sparse_
    q_scale q_zero_point q_per_channel_axis q_per_channel_scales q_per_channel_zero_points qscheme
    _use_cudnn_ctc_loss _use_miopen_ctc_loss _fused_sdp_choice _cudnn_init_dropout_state _make_dep_token _make_token
    _sink_tokens _print _linalg_check_errors _coalesced _coalesced_ slice_inverse _nested_get_jagged_dummy
    _nested_get_lengths _nested_get_max_seqlen _nested_get_min_seqlen _nested_get_offsets _nested_get_ragged_idx
    _nested_compute_contiguous_strides_offsets _nested_tensor_size _nested_tensor_strides
    _nested_tensor_storage_offsets _functional_assert_scalar _functional_sym_constrain_range
    _functional_sym_constrain_range_for_size sym_constrain_range sym_constrain_range_for_size
    _sparse_compressed_tensor_with_dims _sparse_coo_tensor_with_dims _sparse_coo_tensor_with_dims_and_tensors
    sparse_coo_tensor sparse_compressed_tensor _validate_compressed_sparse_indices _new_zeros_with_same_feature_meta
    from_file _cslt_sparse_mm_search reshape collapse
    """
)
MOVE: Final = names(
    """
    copy_ clone _to_copy contiguous cat stack repeat repeat_interleave roll flip pad constant_pad_nd
    reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d tril triu tril_ triu_ masked_fill
    masked_fill_
    where pixel_shuffle pixel_unshuffle slice_backward select_backward unfold_backward im2col col2im
    channel_shuffle _foreach_copy_ copy to rot90 nonzero masked_select unique _unique2 unique_consecutive
    sort argsort topk bincount histc searchsorted bucketize one_hot diag_embed
    _foreach_clone _foreach_copy _copy_from _copy_from_and_resize _lazy_clone block_diag _stack _chunk_cat
    narrow_copy diagonal_backward as_strided_scatter diagonal_scatter int_repr nonzero_static unique_dim
    unique_dim_consecutive _unique take_along_dim put put_ index_fill index_fill_ masked_scatter_backward
    reflection_pad3d replication_pad3d _pack_padded_sequence to_mkldnn to_padded_tensor _to_dense _to_sparse
    _to_sparse_bsc _to_sparse_bsr _to_sparse_csc _to_sparse_csr _to_sparse_semi_structured sparse_mask
    _sparse_mask_projection copy_sparse_to_sparse copy_sparse_to_sparse_ _coalesce _spdiags _mkldnn_reshape
    _mkldnn_transpose _mkldnn_transpose_ _cslt_compress _dyn_quant_pack_4bit_weight _convert_weight_to_int4pack
    _convert_weight_to_int4pack_for_cpu _convert_indices_from_coo_to_csr _convert_indices_from_csr_to_coo
    _cudnn_rnn_flatten_weight mkldnn_reorder_conv2d_weight mkldnn_reorder_conv3d_weight lu_unpack
    _jagged_to_padded_dense_forward _padded_dense_to_jagged_forward _nested_from_padded
    _nested_from_padded_and_nested_example _nested_from_padded_tensor _nested_tensor_from_mask
    _nested_tensor_from_tensor_list _nested_select_backward _sparse_semi_structured_apply
    _sparse_semi_structured_apply_dense _sparse_semi_structured_tile max_unpool2d max_unpool3d
    _unsafe_masked_index convert_element_type rev copy_strided copy_to device_put complex
    """
)
GATHER: Final = names(
    """
    embedding index index_select gather take _unsafe_index _embedding_bag _embedding_bag_forward_only
    _embedding_bag_per_sample_weights_backward
    """
)
SCATTER: Final = names(
    """
    index_put index_put_ _index_put_impl_ _unsafe_index_put scatter scatter_ scatter_add scatter_add_ scatter_reduce
    scatter_reduce_ index_add index_add_ index_copy index_copy_ slice_scatter select_scatter
    embedding_dense_backward embedding_backward masked_scatter masked_scatter_ _index_put_impl index_reduce
    index_reduce_ _embedding_bag_dense_backward _unsafe_masked_index_put_accumulate
    """
)
WRITE: Final = names(
    """
    zeros zeros_like ones ones_like full full_like arange zero_ fill_ fill new_zeros new_ones new_full eye linspace
    scalar_tensor normal_ uniform_ bernoulli_ rand randn randint rand_like randn_like randperm random_ exponential_
    bernoulli multinomial _foreach_zero_ _foreach_zero tril_indices triu_indices zero normal normal_functional uniform
    exponential cauchy cauchy_ geometric geometric_ log_normal log_normal_ random poisson binomial randint_like
    _philox_normal _philox_normal_ _philox_uniform _philox_uniform_ _philox_key_fold_in _philox_key_split
    bartlett_window blackman_window hamming_window hann_window kaiser_window logspace range iota fft_fftfreq
    fft_rfftfreq _sample_dirichlet _standard_gamma _fill_mem_eff_dropout_mask_
    """
)
REDUCTION: Final = names(
    """
    sum mean amax amin max min prod any all argmax argmin norm linalg_vector_norm var var_mean std std_mean
    logsumexp cumsum cumprod cummax cummin logcumsumexp _foreach_norm nansum count_nonzero aminmax median
    cumsum_ cumprod_ _cummax_helper _cummin_helper _logcumsumexp nanmedian kthvalue mode trace dist hash_tensor
    native_norm xor_sum _aminmax _is_all_true _is_any_true _foreach_max _foreach_powsum linalg__powsum
    _sparse_csr_sum _sparse_csr_prod _sparse_sum segment_reduce _adaptive_avg_pool2d _adaptive_avg_pool3d
    avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d
    batch_norm_stats nll_loss_forward nll_loss2d_forward
    """
)
POINTWISE: Final = names(
    """
    linalg_cross _add_relu _add_relu_ _thnn_fused_lstm_cell _thnn_fused_lstm_cell_backward_impl _thnn_fused_gru_cell
    _thnn_fused_gru_cell_backward upsample_linear1d upsample_linear1d_backward upsample_bilinear2d
    upsample_bilinear2d_backward upsample_trilinear3d upsample_trilinear3d_backward _upsample_bilinear2d_aa
    _upsample_bilinear2d_aa_backward
    """
)
CONTRACTION: Final = re.compile(
    r"mm(_|$)|matmul|gemm|gemv|conv|attention|attn|rnn|lstm|gru|linear|dot(_|$)|cdist|einsum|tensordot|fft|linalg|"
    r"cholesky|svd|_qr|(^|_)lu_|solve|inverse|bilinear|trilinear|addmv|addbmm|^mv$|kron|encoder_layer|pdist|"
    r"mamba|ssm|scan|delta_rule|gmm|moe|expert"
)
ELEMENTWISE: Final = names(
    """
    __ilshift__ __ixor__ __iand__ __ior__ __irshift__ __lshift__ __rshift__ __xor__ __and__ __or__ _conj_physical abs
    acos acosh add addcdiv addcmul angle asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not
    bitwise_or bitwise_right_shift bitwise_xor ceil celu clamp clamp_max clamp_min clip conj_physical copysign cos cosh
    deg2rad digamma div elu eq erf erfc erfinv exp exp2 expm1 float_power floor floor_divide fmax fmin fmod frac ge
    gelu gelu_backward gt hardshrink hardsigmoid hardswish hardtanh heaviside hypot i0 igamma igammac isfinite isinf
    isnan isneginf isposinf ldexp le leaky_relu lerp lgamma log log10 log1p log2 logaddexp logaddexp2 logical_and
    logical_not logical_or logical_xor logit logit_backward lt maximum minimum mish mul multiply mvlgamma nan_to_num
    native_dropout_backward ne neg nextafter polygamma pow rad2deg reciprocal relu relu6 remainder round rrelu rsqrt
    rsub selu sgn sigmoid sigmoid_backward sign signbit silu silu_backward sin sinc sinh softplus softshrink
    special_entr special_erfcx special_i0e special_i1 special_i1e special_log_ndtr special_ndtri special_xlog1py
    special_zeta sqrt square sub tan tanh tanh_backward threshold threshold_backward true_divide trunc xlogy
    hardtanh_backward hardswish_backward hardsigmoid_backward leaky_relu_backward elu_backward mish_backward
    softplus_backward softshrink_backward hardshrink_backward log_sigmoid log_sigmoid_backward
    _prelu_kernel prelu gcd lcm absolute negative subtract divide fix
    """
)
"""Ops that make each element of their output from the elements at the same place, in place with a `_` behind."""
COMPARISON: Final = names(
    "eq ne lt le gt ge isnan isinf isfinite isneginf isposinf signbit logical_not logical_and logical_or logical_xor"
)
"""Their output is bool, unless they write in place."""


def _flops_an_element() -> dict[str, int]:
    each = {
        5: "_softmax _log_softmax _safe_softmax silu silu_ celu elu mish hardswish _masked_softmax",
        8: "gelu gelu_",
        10: "_softmax_backward_data _log_softmax_backward_data silu_backward _masked_softmax_backward",
        16: "gelu_backward",
        4: "sigmoid sigmoid_ tanh tanh_",
        # sigmoid's own backward is g·y·(1 - y), tanh's g·(1 - y²): three each, whatever the forward took
        3: "softplus lerp lerp_ addcmul addcmul_ addcdiv addcdiv_ _foreach_lerp _foreach_lerp_ _foreach_addcmul "
        "_foreach_addcmul_ _foreach_addcdiv _foreach_addcdiv_ sigmoid_backward tanh_backward",
        2: "addr addr_",
    }
    return {name: flops for flops, listed in each.items() for name in listed.split()}


FLOPS_AN_ELEMENT: Final = _flops_an_element()
"""Vector FLOPs of ops that do more than one operation an element of their output."""
