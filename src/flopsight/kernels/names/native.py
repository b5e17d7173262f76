"""PyTorch's own kernels: the function's name says the form of the loop; the functor says what it applies.

A cast or a copy that such a loop makes stays elementwise: a compiler fuses it as it fuses an addition.
"""

from typing import Final

from flopsight.kernels.names import Rows

HEADS: Final[Rows] = (
    ("sort", "sort topk top_k gather_top bitonic unique mode_kernel radix kthvalue median"),
    ("random", "distribution_ dropout multinomial randperm"),
    ("index", """
        index_elementwise indexing_ index_select index_add index_put index_fill index_func index_copy scatter gather
        nonzero masked_select take_put_ roll_cuda flip_ pad2d reflection_pad replication_pad one_hot
    """),
    ("copy", "cat_array split_with_sizes chunk_cat fused_copy transpose"),
    ("normalization", """
        layer_norm batch_norm group_norm rms_norm gamma_beta rowwise_moments compute_internal compute_grad_input
        weight_norm cunn_norm
    """),
    ("softmax", "softmax soft_max cross_entropy"),
    ("embedding", "embedding krn_partials compute_grad_weight sum_and_scatter compute_num_of_partial"),
    ("reduction", "reduce_ nll_loss _scan scan_ cumsum histogram bincount lpnorm prefix_sum"),
    ("gemm", "weight_int4pack tinygemm dense_sparse gemv addmm cutlass"),
    ("convolution", "depthwise im2col col2im vol2col col2vol conv"),
    ("scan", "lstm gru_cell rnn"),
)  # fmt: skip
"""By the function's own name, where it is no loop over elements."""

LOOPS: Final = ("elementwise_kernel", "vectorized", "unrolled", "elementwise")

FUNCTORS: Final[Rows] = (
    ("normalization", "batch_norm layer_norm group_norm rms_norm"),
    ("index", """
        gpu_index_kernel index_kernel_impl index_put index_copy index_fill scatter_gather flip_kernel put_kernel
    """),
    ("softmax", "softmax"),
    ("random", "philox bernoulli random_from_to dropout"),
)  # fmt: skip
MULTI_TENSOR: Final[Rows] = (
    ("optimizer", "adam sgd lamb lion adagrad rmsprop adadelta"),
    ("reduction", "lp_norm l_norm lpnorm l2_norm max_norm lpmax"),
)  # fmt: skip
