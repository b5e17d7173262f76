"""What kind of primitive one without formula is: free, moving, arithmetic on elements, or unknown to us."""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["free", "pointwise", "reduction", "window", "move", "gather", "scatter", "write", "fft", "missing"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FREE: Final = _names(
    """
    reshape squeeze expand_dims broadcast_in_dim stop_gradient optimization_barrier sharding_constraint pvary pcast
    pbroadcast name copy_p create_token after_all random_wrap random_unwrap bitcast_convert_type device_put reshard
    mesh_cast auto_axes axis_index debug_callback debug_print split_axis empty empty2 layout_constraint real imag
    iota full_like random_seed random_fold_in random_split partition_id program_id num_programs
    convert_to_physical convert_to_logical unreduced_psum vma_cast psum_invariant_pvary
    """
)
"""No arithmetic and, since XLA never runs them as kernels of their own, no traffic."""
MOVE: Final = _names(
    """
    copy transpose rev concatenate pad split slice sort top_k approx_top_k argsort tie_in
    all_gather all_gather_invariant all_gather_reduced all_to_all ragged_all_to_all ppermute pgather collective_permute
    while_counter random_clone complex conj select_n select_and_gather_add
    """
)
WRITE: Final = _names("random_bits rng_bit_generator rng_uniform threefry2x32")
GATHER: Final = _names("gather dynamic_slice get")
SCATTER: Final = _names(
    """
    scatter scatter-add scatter-mul scatter-min scatter-max scatter-sub scatter_add scatter_mul scatter_min scatter_max
    scatter_sub dynamic_update_slice swap addupdate
    """
)
REDUCTION: Final = _names(
    """
    reduce reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor argmax argmin
    cumsum cumprod cummax cummin cumlogsumexp psum psum2 psum_invariant pmax pmin reduce_scatter psum_scatter
    unreduced_reduce_scatter
    """
)
WINDOW: Final = _names(
    "reduce_window reduce_window_sum reduce_window_max reduce_window_min select_and_scatter select_and_scatter_add"
)
POINTWISE: Final = _names(
    """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp clz
    convert_element_type cos cosh digamma div eq eq_to erf erf_inv erfc exp exp2 expm1 floor ge ge_to gt gt_to igamma
    igamma_grad_a igammac integer_pow is_finite le le_to lgamma log log1p logistic lt lt_to max min mul ne neg nextafter
    not or polygamma population_count pow random_gamma random_gamma_grad reduce_precision
    regularized_incomplete_beta rem round rsqrt shift_left shift_right_arithmetic shift_right_logical sign sin sinh
    sqrt square sub tan tanh xor zeta mulhi fma dot_product_attention_dropout
    """
)
_KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(POINTWISE, "pointwise"), **dict.fromkeys(WINDOW, "window"), **dict.fromkeys(REDUCTION, "reduction"),
    **dict.fromkeys(SCATTER, "scatter"), **dict.fromkeys(GATHER, "gather"), **dict.fromkeys(WRITE, "write"),
    **dict.fromkeys(MOVE, "move"), **dict.fromkeys(FREE, "free"), "fft": "fft",
}  # fmt: skip


def kind_of(primitive: str) -> Kind:
    """The kind of a primitive that has neither formula nor body."""
    return _KINDS.get(primitive, "missing")
