"""Matrix products: cuBLAS, CUTLASS 2 and 3, nvJet, Tensile (hipBLASLt, rocBLAS), Composable Kernel, AITER, DeepGEMM,
Marlin, Machete, oneDNN, MAGMA, llama.cpp; their split-k reductions are a part of them.
"""  # fmt: skip

from typing import Final

from flopsight.kernels.names import Rows

ROWS: Final[Rows] = (
    ("gemm", """
        gemm+!fbgemm nvjet ^_cijk xmma cutlass cublas _gemv gemv_ gemvn gemvt gemvx _dot_kernel reduce_1_block
        reduce_1block split_k splitk stream_k streamk wgmma matmul mat_mul mul_mat _mm_ _addmm _bmm_ _baddbmm
        mm_kernel kernel_mm mma_kernel marlin machete deep_gemm qmm mmq_ wvsplit tinygemm rocblas hipblas tensile
        flatmm flat_mm bpreshuffle xdl_cshuffle xdlops gridwise magma linear_kernel _linear_fwd _linear_bwd
        lora_shrink lora_expand sgmv bgmv _skinny matvec mat_vec _syrk syrk_ _trsm trsm_ scaled_mm w8a8 w4a16 w4a8
        _ll_mm llmm1 _llmm gett_ contraction tensor_contract epilogue_impl_global triton_tem einsum mfma_ wmma_
        _geam geam_ _her2k _potrf _getrf _ger_ sparse_mm spmm csrmm csrmv cusparse
    """),
)  # fmt: skip
