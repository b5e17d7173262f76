"""What is left: moving, selecting, reducing and loops over elements, whatever name a kernel's author gave them."""

from typing import Final

from flopsight.kernels.names import Rows

ROWS: Final[Rows] = (
    ("elementwise", "elementwise_kernel_with_index"),
    ("index", """
        index_select index_put index_add index_copy index_fill indexing index_kernel _gather gather_ _scatter
        scatter_ _take_ nonzero non_zero masked_select kv_cache kvcache kv_indices req_to_token slot_mapping
        block_table block_indices compute_position future_token write_req copy_blocks swap_blocks _pad_ pad_kernel
        unpad _slice slice_ device_select device_compact device_partition partition_kernel _unique select_kernel
        permute_2_d permute_2d permute_1_d linearize bounds_check get_rows set_rows dynamic_update
        find_long_segments nms_ roi_align
    """),
    ("copy", """
        cat_array memcpy memset copybuffer fill_buffer fillbuffer _transpose transpose_ _permute permute_ _copy
        copy_ _concat concat_ concatenate repeat_buffer d2d_ h2d_ d2h_ rocclr _cpy cpy_ interleave reformat reorder
        _contiguous split_kernel
    """),
    ("reduction", """
        reduce reduction argmax argmin arg_max arg_min aminmax _sum_ sum_kernel sum_rows _mean_ mean_kernel
        max_kernel min_kernel device_scan lookback_scan scan_config scan_kernel scan_init cumsum prefix_sum _scan_
        histogram bias_grad moments _loss loss_ _norm cleanup norm_two_pass
    """),
    ("elementwise", """
        elementwise element_wise pointwise point_wise multi_tensor activation silu gelu swiglu geglu relu swish
        sigmoid tanh softplus softcap and_mul bias_add add_bias residual _triu tril fill arange linspace cast_ _cast
        convert select_ _where where_ clamp _exp_ exp_kernel sqrt compare opmath foreach binary unary zero_ set_
        iota broadcast resolve_ bitwise upsample interpolate _pool pool_ pooling grid_sampler add_kernel mul_kernel
        sub_kernel div_kernel addition subtract divide multiply axpy _scal_ scal_kernel bin_bcast scale_ _scale
        transform_kernel gated_ _gate_ _add_ _mul_ vec_add vector_add abs_kernel loop_kernel _mask mask_ _update
        update_
    """),
    ("fused", "triton fusion fused inductor jit_ nvfuser _pallas mosaic"),
)  # fmt: skip
