"""Config keys that change no shape, no mask and no count, whatever their value."""

from __future__ import annotations

import re
from typing import Any

_PATTERNS = (
    # tokens, generation and labels
    r".*token_(id|ids|index)", r".*_token", r"tokenizer.*", r"max_tokenizer_truncation",
    r"(bad|suppress|begin_suppress|forced).*", r"pruned_heads",
    r"(id2label|label2id|label_names|task_specific_params|problem_type|finetuning_task|prefix|summary_.*|n_special)",
    r"(min_length|max_length|length_penalty|early_stopping|no_repeat.*|encoder_no_repeat.*|num_beam.*|num_return.*)",
    r"(do_sample|temperature|top_k|top_p|typical_p|repetition_penalty|diversity_penalty|exponential_decay.*|max_new.*)",
    r"(remove_invalid_values|return_dict.*|output_.*|predict_special_tokens|num_logits_to_keep|use_cache|cache_.*)",
    r"(ignore_index|decoder_start.*|classifier_(activation|dropout|pooling)|sparse_pred.*|generation_config)",
    # training
    r".*(dropout|_pdrop|_drop|layerdrop|drop_path).*", r".*(init|initializer).*", r"(emb|fan)_(mode|init.*)",
    r".*loss.*",
    r".*(jitter|noise).*", r"gradient_.*", r".*aux_coef.*", r"ft_lora", r"mask_.*_(prob|length|min_masks)",
    r"apply_spec_.*",
    r"(rescale_.*|lora_(alpha|dropout)|seq_aux|z_loss_weight|router_(aux|z)_.*|bias_update.*|time_step_(min|max|floor|limit))",
    # numerics and positions computed from angles
    r".*_?(eps|epsilon)", r".*rope.*", r"rotary(_.*)?", r"mrope.*", r"partial_rotary_factor",
    r".*(dtype|bf16|fp16|fp32).*",
    r".*(scal(e|ing)|multiplier|softcap(ping)?|logit_cap|soft_cap|logits_cap|clip_qkv|swiglu_limit|alpha|beta)(_.*)?",
    r"(query_pre_attn_scalar|embedding_fraction|dim_model_base|scale_.*|use_dynamic_ntk|use_logn_attn|use_mrope)",
    r".*(max_position_embeddings|max_seq_len|model_max_length|seq_length|context_length|max_sequence_length|n_ctx)",
    r"(context_window_size|use_mem_rope|original_max.*|full_attn_(alpha|beta).*|linear_attn_(alpha|beta).*|mlp_(alpha|beta).*|base)",
    r"(use_bidirectional_attention|attn_temperature_tuning|floor_scale|attn_scale|temperature_tuning.*|theta)",
    # routing that keeps the number of visited experts
    r"(n_group|topk_group|num_expert_group|norm_topk_prob|topk_method|scoring_func|norm_min|moe_norm.*|moe_router.*)",
    r"(routed_scaling_factor|moe_shared_expert_overlap|use_grouped_topk|score_function|expert_selection_fn)",
    # implementation and bookkeeping
    r"(transformers_version|transformers\.js_config|architectures?|auto_map|_.*|model_args|model_version|version|name)",
    r"(torchscript|use_flash_attn|.*flash_attn.*|.*attn_impl.*|attn_implementation|use_mamba_kernels|verbose|prefill_chunk_size)",
    r"(pretraining_tp|ep_size|use_bfloat16|onnx_safe|slow_but_exact|output_past|is_llama_config|paper_only|license|comment)",
    r"(bias_dropout_fusion|attention_softmax_in_fp32|apply_query_key_layer_scaling|residual_in_fp32|fp32_.*|scale_attn_.*)",
    r"(reorder_and_upcast_attn|attn_uses_sequence_id|original_rope|norm_before_gate|fused?_.*|use_fused_.*|use_custom_.*)",
    r"(is_decoder|is_encoder_decoder|tie_encoder_decoder|prefix_lm|kv_cache_dtype|use_return_dict|quantization_config)",
    r"(text_config_dict|vision_config_dict|vision_feature_.*|spatial_merge_mode|projector_dropout|image_grid_pinpoints)",
    r"(relative_attention_max_distance|max_relative_positions|attention_max_distance|sep_token.*|freq_dim_base)",
    r"(tokens_per_second|vision_(start|end)_.*|video_.*|image_seq_len|mm_tokens.*|.*soft_tokens.*|default_output_length)",
    r"(unsloth.*|trl_.*|peft.*|sample_size_base|compress_.*theta)",
    r"(hc_(eps|sinkhorn.*)|indexer_rope.*|expert_dtype|swiglu.*|altup_(active_idx|coef.*|correct.*)|moe_aux.*)",
)  # fmt: skip
_IGNORED = re.compile("|".join(f"(?:{p})" for p in _PATTERNS))


def ignorable(key: str, value: Any) -> bool:
    """Whether an unread key can be left unread: by its name, or because its value bears no dimension.

    Strings, fractions, null, false, zero and empty lists add nothing to a model; a whole number, a true flag or a
    list might.
    """
    if _IGNORED.fullmatch(key) or not value or isinstance(value, str):
        return True
    return isinstance(value, float) and value != int(value) if not _infinite(value) else True


def _infinite(value: Any) -> bool:
    return (isinstance(value, float) and value in (float("inf"), float("-inf"))) or value != value
