"""Mixtures of experts: routing, permutation, products that say so (vLLM, SGLang, TensorRT-LLM, Megatron, AITER).

A grouped product that does not name experts is a matrix product.
"""

from typing import Final

from flopsight.kernels.names import Rows

ROWS: Final[Rows] = (
    ("moe", """
        _moe moe_ fmoe topk_gating top_k_gating topk_softmax topk_sigmoid grouped_topk grouped_top_k biased_grouped
        _expert expert_ experts_ permute_tokens permute_kernel unpermute count_and_sort route_kernel router_gemm
        routing_indices routing_main routing_kernel routing_init routing_post noaux_tc expand_input_rows
        do_activation_kernel ep_scatter ep_gather deepgemm_permute compute_problem_sizes get_group_gemm shuffle_rows
        megablocks binned_gather padded_gather padded_scatter topology_ _matmul_ogs ragged_tma
    """),
)  # fmt: skip
