"""Decoders with experts: Mixtral, Qwen3-MoE, DeepSeek-V3."""

from __future__ import annotations

from torch import nn

from .specimen import Specimen, causal_lm, tokens
from .truth import B, S, T, causal_attention, experts, gated_mlp, grouped_query, product

LAYERS, WIDTH, HEADS, KV, HEAD, VOCAB = 3, 128, 4, 2, 32, 500
ROUTED, ACTIVE, EXPERT = 8, 2, 192
FINE, FINE_ACTIVE, FINE_EXPERT = 16, 4, 64


def _mixtral(attention: str, kernel: str) -> nn.Module:
    from transformers import MixtralConfig

    config = MixtralConfig(
        hidden_size=WIDTH, intermediate_size=EXPERT, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=KV, head_dim=HEAD, vocab_size=VOCAB, num_local_experts=ROUTED,
        num_experts_per_tok=ACTIVE, max_position_embeddings=S, sliding_window=None,
    )  # fmt: skip
    return causal_lm(config, attention, kernel)


MIXTRAL = LAYERS * (
    grouped_query(WIDTH, HEADS, KV, HEAD) + causal_attention(HEADS, HEAD) + experts(WIDTH, EXPERT, ROUTED, ACTIVE)
) + product(T, WIDTH, VOCAB)


def _qwen3_moe() -> nn.Module:
    from transformers import Qwen3MoeConfig

    config = Qwen3MoeConfig(
        hidden_size=WIDTH, intermediate_size=320, moe_intermediate_size=FINE_EXPERT, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV, head_dim=HEAD, vocab_size=VOCAB, num_experts=FINE,
        num_experts_per_tok=FINE_ACTIVE, decoder_sparse_step=1, max_position_embeddings=S,
    )  # fmt: skip
    return causal_lm(config, "sdpa", "grouped_mm")


QWEN3_MOE = LAYERS * (
    grouped_query(WIDTH, HEADS, KV, HEAD)
    + causal_attention(HEADS, HEAD)
    + experts(WIDTH, FINE_EXPERT, FINE, FINE_ACTIVE)
) + product(T, WIDTH, VOCAB)

Q_RANK, KV_RANK, NOPE, ROPE, VALUE, DENSE = 48, 32, 24, 16, 24, 320


def _deepseek(attention: str, kernel: str) -> nn.Module:
    from transformers import DeepseekV3Config

    config = DeepseekV3Config(
        hidden_size=WIDTH, intermediate_size=DENSE, moe_intermediate_size=FINE_EXPERT, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, vocab_size=VOCAB, n_routed_experts=FINE,
        num_experts_per_tok=FINE_ACTIVE, n_shared_experts=1, n_group=4, topk_group=2, first_k_dense_replace=1,
        q_lora_rank=Q_RANK, kv_lora_rank=KV_RANK, qk_nope_head_dim=NOPE, qk_rope_head_dim=ROPE, v_head_dim=VALUE,
        max_position_embeddings=S,
    )  # fmt: skip
    return causal_lm(config, attention, kernel)


MLA = (
    product(T, WIDTH, Q_RANK) + product(T, Q_RANK, HEADS * (NOPE + ROPE)) + product(T, WIDTH, KV_RANK + ROPE)
    + product(T, KV_RANK, HEADS * (NOPE + VALUE)) + product(T, HEADS * VALUE, WIDTH)
    + causal_attention(HEADS, NOPE + ROPE, value_width=VALUE)
)  # fmt: skip
DEEPSEEK = (
    LAYERS * MLA
    + gated_mlp(WIDTH, DENSE)
    + (LAYERS - 1) * (experts(WIDTH, FINE_EXPERT, FINE, FINE_ACTIVE) + gated_mlp(WIDTH, FINE_EXPERT))
    + product(T, WIDTH, VOCAB)
)

SPECIMENS = (
    Specimen("Mixtral sdpa, grouped_mm", lambda: _mixtral("sdpa", "grouped_mm"), tokens(VOCAB, B, S), MIXTRAL),
    Specimen(
        "Mixtral eager", lambda: _mixtral("eager", "eager"), tokens(VOCAB, B, S), MIXTRAL,
        executed=(MIXTRAL.full, MIXTRAL.train_full),
    ),
    Specimen("DeepSeek-V3 sdpa, grouped_mm", lambda: _deepseek("sdpa", "grouped_mm"), tokens(VOCAB, B, S), DEEPSEEK),
    Specimen(
        "DeepSeek-V3 eager", lambda: _deepseek("eager", "eager"), tokens(VOCAB, B, S), DEEPSEEK,
        executed=(DEEPSEEK.full, DEEPSEEK.train_full),
    ),
    Specimen("Qwen3-MoE sdpa, grouped_mm", _qwen3_moe, tokens(VOCAB, B, S), QWEN3_MOE),
)  # fmt: skip
