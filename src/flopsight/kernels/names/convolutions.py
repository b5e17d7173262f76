"""Convolutions: cuDNN, CUTLASS's implicit GEMM, MIOpen, Composable Kernel, oneDNN; their transposes are copies."""

from typing import Final

from flopsight.kernels.names import Rows

ROWS: Final[Rows] = (
    ("copy", """
        nchw_to_nhwc nchw2nhwc nhwc2nchw batched_transpose transpose_cnhw transpose_nchw nchw_cnhw nhwc_to
        tensor_transform generic_transform sub_tensor_op+cast
    """),
    ("elementwise", "sub_tensor_op"),
    ("convolution", """
        implicit_gemm_conv implicit_gemm+fprop implicit_gemm+dgrad implicit_gemm+wgrad convolve _conv1d _conv2d
        _conv3d conv_fwd conv_bwd conv2d_ conv3d_ conv1d_ _conv_ conv_transpose dgrad fprop wgrad winograd igemm_fwd
        igemm_bwd igemm_wrw naive_conv depthwise dwconv im2col col2im im2d2_col im3d2_col im2d2col im3d2col vol2col
        col2vol scudnn hcudnn fft2d fft1d fft_ flip_filter xdlops_conv miopen+conv compute_offsets_kernel
        transform_filter kernel_grouped_conv bwd_weight+xdlops bwd_data+xdlops conv_kernel gen_conv convolution
    """),
)  # fmt: skip
