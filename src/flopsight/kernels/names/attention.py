"""Attention: FlashAttention 1-4, FlashInfer, FlashMLA, xFormers and PyTorch's CUTLASS kernels, cuDNN, TensorRT-LLM,
vLLM, SGLang, AITER and Composable Kernel, Triton's tutorial kernel, Pallas. Its helpers (split-KV combine, preprocess
of the backward pass) belong to it.
"""  # fmt: skip

from typing import Final

from flopsight.kernels.names import Rows

ROWS: Final[Rows] = (
    ("embedding", "rope+mla apply_rope rotary"),
    ("scan", "linear_attn linear_attention lightning_attn lightning_attention gated_delta flash_linear delta_rule"),
    ("index", """
        reshape_and_cache concat_and_cache store_kv_cache store_kvcache append_paged_kv set_mla_kv set_kv_buffer
        get_mla_metadata create_flashinfer gather_cache convert_vertical
    """),
    ("attention", """
        flash_fwd flash_bwd flash_attn flash_attention flashattn flash_mla flashmla flash_splitkv splitkv_mla
        sparse_attn sparse_attention sparse_prefill _fmha fmha_ fused_attention paged_attention pagedattention
        _attn_fwd _attn_bwd attn_stage unified_attention prefix_prefill context_attention batch_prefill batch_decode
        single_prefill single_decode batch_mla multi_head_attention masked_multihead _mmha kernel_mha _mha_ mha_fwd
        mha_bwd mha_varlen mla_decode mla_prefill _mla_ attention_kernel attention_fwd attention_bwd decode_att
        _fwd_grouped_kernel_stage _fwd_kernel_stage merge_attn_states merge_state variable_length_merge
        persistent_variable_length cascade_attention _sdpa sdpa_ scaled_dot_product efficient_attention ring_attn
        flex_attention flex_decoding composed_attention tree_attention mqa_logits paged_mqa indexer_logits
        lightning_indexer sage_attn sageattn qk_int8 qk_int_sv splash_attention ragged_paged mosaic_attention xqa
        _fattn fattn_ attention_wmma dense_prefill compute_delta_softmax_lse fwd_combine+flash bwd_preprocess
        bwd_dq_dk_dv _bwd_kernel_dk _bwd_kernel_dq attentionkernel sdp_xe _attention_
    """),
)  # fmt: skip
