"""Kernels that compilers write: Inductor lists the ops it fused, XLA the form of the fusion and its heaviest ops."""

from typing import Final

from flopsight.kernels.names import Rows

INDUCTOR: Final[Rows] = (
    ("attention", "attention sdpa flex"),
    ("scan", "associative_scan selective_scan"),
    ("softmax", "softmax nll_loss logsumexp cross_entropy"),
    ("normalization", "_norm var_mean mean+rsqrt"),
    ("optimizer", "adam_ _sgd foreach+sqrt"),
    ("embedding", "embedding"),
    ("convolution", "_convolution"),
    ("random", "bernoulli _rand dropout"),
    ("quantization", "float8 fp8 _quant"),
    ("index", "index_put index_select _gather _scatter _index_"),
    ("copy", "_cat_"),
)  # fmt: skip
"""By the ops in a name; a product that is fused says mm, addmm or bmm and is read by the form."""

HLO: Final[Rows] = (
    ("attention", "attention fmha"),
    ("normalization", "cudnn_norm layer_norm rms_norm"),
    ("softmax", "softmax"),
    ("convolution", "cudnn_conv convolution _conv_"),
    ("gemm", "fusion_dot _dot_ cublas gemm"),
    ("sort", "sort topk top_k"),
    ("random", "rng threefry"),
    ("index", "scatter gather dynamic_slice dynamic_update_slice slice_fusion wrapped_slice pad_fusion"),
    ("reduction", "reduce cumsum select_and_scatter"),
    ("copy", "transpose_fusion wrapped_transpose copy concatenate_fusion wrapped_concatenate reverse bitcast"),
    ("elementwise", "loop_ wrapped_ broadcast convert iota compare select add multiply subtract divide"),
    ("fused", "fusion"),
)  # fmt: skip
"""XLA's kernels and the operations of its programs, loop_add_fusion or dot.3."""
