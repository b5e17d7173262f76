"""What a kernel computes, by its name: the first pattern that matches, the most telling first.

Names of many libraries stand in one kernel's name (a CUTLASS kernel of FlashAttention), so the order is the knowledge
here. A name that says nothing is "other".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

LONGEST: Final = 4096
KINDS: Final = (
    "gemm", "attention", "convolution", "moe", "scan", "normalization", "softmax", "elementwise", "reduction",
    "embedding", "index", "random", "optimizer", "quantization", "sort", "copy", "fused", "other",
)  # fmt: skip
_TABLE: Final = {
    "attention": r"""
        flash_(?:fwd|bwd|attn|attention) flash_api flashattn \bfmha fmha_ _fmha fused_attention paged_attention
        pagedattention attn_fwd attn_bwd _attn_ attention_kernel batchprefill batchdecode singleprefill
        singledecode mha_(?:fwd|bwd|varlen) mla_(?:decode|prefill|kernel|fwd|combine|stage) flash_mla flashmla
        _mla_ mla_ unified_attention attentionkernel pyflash efficient_attention kernel_mha mmha
        masked_multihead sdpa cudnn_generated_fort_native_sdpa ring_attn kernel_unified_attention decode_att
        _fwd_grouped_kernel_stage merge_attn_states fmha_cutlass attn_stage splitkv indexer_k mqa_logits
        triton_.*(?:sdpa|flex_attention) tem_fused.*attention flex_attention
    """,
    "moe": r"""
        fused_moe moe_kernel grouped_?gemm group_gemm moe_gemm m_grouped groupgemm moe_align topk_?gating
        topk_softmax moe_sum moe_permute moe_unpermute expandinputrows finalize_moe
        expert_?(?:first|offset|map|count) count_and_sort_expert grouped_topk biased_grouped moe:: fmoe _moe_
        ck_moe moe_sorting permute_tokens unpermute ragged_dot route_kernel
    """,
    "scan": r"""
        selective_scan mamba chunk_(?:state|scan|fwd|bwd|gated|delta|cumsum|kda|gla) _chunk_ ssd_ state_passing
        gated_delta delta_rule fused_recurrent wkv rwkv causal_conv1d rglru linear_attn lightning_attn
        recurrent_scan
    """,
    "normalization": r"""
        rms_?norm layer_?norm layernorm batch_?norm bn_(?:fw|bw|fwd|bwd) group_?norm groupnorm instance_?norm
        norm_fwd norm_bwd rowwisemoments gammabeta computeinternalgradients cunormal miopenbatchnorm ln_fwd
        ln_bwd computegroupnorm add_rmsnorm norm_kernel l2norm cunn_layernorm
    """,
    "quantization": r"""
        quantize dequant per_token_(?:group_)?quant per_block_cast cast_transpose _quant_kernel scaled_quant
        fp8_quant nvfp4_quant mxfp amax_(?:kernel|and) cast_fp8 fp4_quant static_scaled_fp8 dynamic_scaled
        block_scale_interleave scale_1d_block
    """,
    "softmax": r"""
        softmax log_softmax cunn_softmax softmaxforward softmaxbackward cross_?entropy nll_loss soft_max
        logsumexp
    """,
    "optimizer": r"""
        multi_tensor_apply.*(?:adam|sgd|lamb|lion|adagrad|rmsprop) fused_?adam adamw?_ _adam lamb_
        fusedoptimizer addcdiv optimizer cuda_fused_ distributed_adam l2norm_mp muon newton_schulz
    """,
    "convolution": r"""
        fft2d fft1d implicit_convolve conv[123]d convolve _conv_ conv_(?:fprop|dgrad|wgrad|bias) [fd]grad
        wgrad(?!_gemm) fprop winograd miopen.*conv igemm_(?:fwd|bwd|wrw) naive_conv depthwise cudnn.*conv im2col
        col2im im2d2col conv_ gemm_conv batched_transpose subtensorop nchwtonhwc nhwctonchw dwconv _conv1x1
        xdlops_conv sp3.*conv col2vol vol2col
    """,
    "gemm": r"""
        gemm cutlass cublas nvjet cijk_ xmma splitk split_k wgmma hgemm sgemm matmul _mm_ \bmm_ mma_kernel
        \bgemv gemvn gemvt dot_kernel reduce_1block_kernel dot_product marlin machete deep_gemm qmm wvsplitk
        tinygemm rocblas hipblas kernel_func_reduction_splitk flatmm bpreshuffle linear_kernel _dot_
        triton_tem_fused stream_k streamk ck::.*xdl xdl_cshuffle magma tensile gen_conv_gemm gemm_fusion matvec
        skinny w8a8 w4a16 \bmv_ fp8_linear lora_(?:shrink|expand) sgmv bgmv
    """,
    "embedding": r"""
        embedding rotary rope apply_rotary mrope gather_vocab vocab_
    """,
    "random": r"""
        dropout philox bernoulli distribution_elementwise uniform_kernel random curand hiprand normal_kernel
        multinomial gumbel rng
    """,
    "sort": r"""
        radix_?sort sort_?kernel sbtopk gathertopk \btopk top_k topp top_p bitonic devicesegmented
        cub::.*(?:sort|scan|select|run) cumsum tensor_kernel_scan scan_kernel onesweep histogram unique_ argsort
        partition_ sampling
    """,
    "index": r"""
        index_?(?:select|put|add|copy|elementwise|kernel|fill|func) indexing_ gather scatter _index_ take_
        nonzero reshape_and_cache store_kv kv_?cache write_req slot_mapping get_num_kv create_flashinfer
        block_table compute_position concat_and_cache fill_kernel_indices masked_ slice pad_ update_kv
        copy_blocks swap_blocks catarraybatch split_with roll_
    """,
    "reduction": r"""
        reduce_kernel reduction reducesegment (?:^|[^a-z])reduce(?!d) norm_two_pass lpnorm aminmax argmax argmin
        \bsum_ mean_ devicereduce _reduce_ moments cleanup bias_grad max_kernel triton_red_ triton_per_
    """,
    "elementwise": r"""
        elementwise vectorized unrolled pointwise triton_poi_ multi_tensor_apply activation silu gelu swiglu
        relu act_and_mul _and_mul bias_add add_bias residual loop_fusion loop_.*fusion
        wrapped_(?:add|mul|convert|broadcast) triu_tril fill arange copy_kernel cast convert transpose permute
        select_ where clamp tanh sigmoid exp_ sqrt compare add_kernel mul_kernel opmath foreach binary unary
        memset range_ zero_ set_ iota broadcast resolve_ bitwise upsample pool
    """,
    "copy": r"""
        memcpy memset copybuffer copy_?device fillbuffer __amd_rocclr_(?:copy|fill) d2d h2d d2h \bcopy
    """,
    "fused": r"""
        triton fusion fused inductor generated jit_
    """,
}
"""Patterns of each kind, one a word; a kind that stands higher wins: attention is made of GEMMs."""
TABLE: Final = tuple((kind, re.compile("|".join(words.split()), re.IGNORECASE)) for kind, words in _TABLE.items())
NATIVE: Final = re.compile(r"at::native::.*?(?:vectorized|unrolled|elementwise)", re.IGNORECASE)
TELLING: Final = ("softmax", "normalization", "random", "embedding", "optimizer", "index")
INDUCTOR: Final = re.compile(r"^triton_(poi|red|per|tem|mm|for|split_scan)_(?:fused_)?(.*)$")
FUSED_KINDS: Final = (
    ("gemm", r"(?:^|_)(?:mm|addmm|bmm|baddbmm)(?:_|$)"), ("attention", r"attention|sdpa"),
    ("softmax", r"softmax|nll_loss"), ("normalization", r"norm"), ("embedding", r"embedding"),
    ("optimizer", r"adam|sgd"),
)  # fmt: skip


def kind_of(name: str) -> str:
    """What a kernel of this name computes: one of KINDS."""
    return _of(name[:LONGEST])


@lru_cache(maxsize=65536)
def _of(name: str) -> str:
    inductor = INDUCTOR.match(name)
    if inductor:
        return _inductor(inductor.group(1), inductor.group(2))
    if NATIVE.search(name):
        # PyTorch's own loop over elements: what it applies stands behind, a shape of loop before
        return next((k for k, p in TABLE if k in TELLING and p.search(name)), "elementwise")
    return next((kind for kind, pattern in TABLE if pattern.search(name)), "other")


def _inductor(form: str, ops: str) -> str:
    """A kernel that Inductor wrote: its form, and the ops that its name lists."""
    if form in ("tem", "mm"):
        return "attention" if re.search(r"attention|sdpa", ops) else "gemm"
    for kind, pattern in FUSED_KINDS[2:]:
        if re.search(pattern, ops):
            return kind
    return "reduction" if form in ("red", "per", "split_scan") else "elementwise"
