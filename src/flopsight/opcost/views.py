"""Names of ops that run nothing on a device, and of those that only do where another op inside them does."""

from __future__ import annotations

from typing import Final

from flopsight.opnames import names

VIEWS: Final = names(
    """
    view _unsafe_view reshape reshape_as expand expand_as permute transpose t select slice squeeze unsqueeze as_strided
    narrow split split_with_sizes chunk unbind flatten unflatten unfold diagonal movedim moveaxis detach alias size
    stride is_nonzero numel view_as view_as_real view_as_complex transpose_ squeeze_ unsqueeze_ set_ resize_ resize_as_
    mT T mH H swapaxes lift_fresh lift requires_grad_ result_type can_cast _reshape_alias swapdims tensor_split hsplit
    vsplit real imag positive broadcast_to broadcast_tensors record_stream item _local_scalar_dense is_floating_point
    is_complex empty resolve_conj resolve_neg conj _conj atleast_1d atleast_2d atleast_3d meshgrid ravel adjoint
    numpy_T data output_nr is_leaf _version retains_grad is_same_size _unsafe_view detach_ t_
    to contiguous type_as to_device cpu cuda float
    """
)
"""`to`, `contiguous` and `reshape` are free, or hold the op that copies."""
