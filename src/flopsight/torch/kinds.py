"""What kind of op an aten op is: free, moving, arithmetic on elements, a contraction, or unknown to us."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import torch

Kind = Literal["free", "pointwise", "reduction", "move", "gather", "scatter", "write", "contraction", "strange"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FREE: Final = _names(
    """
    _unsafe_view detach alias lift lift_fresh empty empty_strided empty_like new_empty new_empty_strided
    _local_scalar_dense is_same_size _has_compatible_shallow_copy_type record_stream resize_ set_ _reshape_alias
    is_pinned _pin_memory item equal sym_size sym_stride sym_numel sym_storage_offset is_contiguous
    _assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async
    dim size stride numel storage_offset
    sym_is_contiguous is_strides_like_format is_non_overlapping_and_dense _nested_view_from_buffer
    unsafe_split unsafe_split_with_sizes unsafe_chunk retain_grad requires_grad_
    """
)
MOVE: Final = _names(
    """
    copy_ clone _to_copy contiguous cat stack repeat repeat_interleave roll flip pad constant_pad_nd
    reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d tril triu tril_ triu_ masked_fill
    masked_fill_
    where pixel_shuffle pixel_unshuffle slice_backward select_backward unfold_backward im2col col2im
    channel_shuffle _foreach_copy_ copy to rot90 nonzero masked_select unique _unique2 unique_consecutive
    sort argsort topk bincount histc searchsorted bucketize one_hot diag_embed
    """
)
GATHER: Final = _names("embedding index index_select gather take _unsafe_index")
SCATTER: Final = _names(
    """
    index_put index_put_ _index_put_impl_ _unsafe_index_put scatter scatter_ scatter_add scatter_add_ scatter_reduce
    scatter_reduce_ index_add index_add_ index_copy index_copy_ slice_scatter select_scatter
    embedding_dense_backward embedding_backward masked_scatter masked_scatter_
    """
)
WRITE: Final = _names(
    """
    zeros zeros_like ones ones_like full full_like arange zero_ fill_ fill new_zeros new_ones new_full eye linspace
    scalar_tensor normal_ uniform_ bernoulli_ rand randn randint rand_like randn_like randperm random_ exponential_
    bernoulli multinomial _foreach_zero_ tril_indices triu_indices
    """
)
REDUCTION: Final = _names(
    """
    sum mean amax amin max min prod any all argmax argmin norm linalg_vector_norm var var_mean std std_mean
    logsumexp cumsum cumprod cummax cummin logcumsumexp _foreach_norm nansum count_nonzero aminmax median
    """
)
CONTRACTION: Final = re.compile(
    r"mm(_|$)|matmul|gemm|gemv|conv|attention|attn|rnn|lstm|gru|linear|dot(_|$)|cdist|einsum|tensordot|fft|linalg|"
    r"cholesky|svd|_qr|(^|_)lu_|solve|inverse|bilinear|trilinear|addmv|addbmm|^mv$|kron|encoder_layer|pdist|"
    r"mamba|ssm|scan|delta_rule|gmm|moe|expert"
)
NO_WORK: Final = frozenset(
    {"prim", "profiler", "_c10d_functional", "c10d", "_c10d_functional_autograd", "inductor_prims"}
)
"""Namespaces that move data between devices or only ask: no FLOPs."""


def kind_of(op: Any) -> Kind:
    """The kind of an op that has no formula."""
    namespace, name = op._schema.name.split("::")
    if namespace in NO_WORK:
        return "free"
    if namespace not in ("aten", "prims"):
        return "strange"
    return _aten(op, name)


def _aten(op: Any, name: str) -> Kind:
    # a list that names an op wins over what its name looks like
    for kind, names in _LISTED:
        if name in names:
            return kind
    if CONTRACTION.search(name):
        return "contraction"
    if op.is_view:
        return "free"
    return "pointwise" if torch.Tag.pointwise in op.tags else "reduction" if name in REDUCTION else "pointwise"


_LISTED: Final[tuple[tuple[Kind, frozenset[str]], ...]] = (
    ("free", FREE), ("move", MOVE), ("gather", GATHER), ("scatter", SCATTER), ("write", WRITE),
    ("reduction", REDUCTION),
)  # fmt: skip
