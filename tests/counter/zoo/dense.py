"""Decoders without experts: Llama, GPT-2, Gemma."""

from __future__ import annotations

from typing import Any

from torch import nn

from .specimen import Specimen, causal_lm, tokens
from .truth import B, S, T, Truth, causal_attention, gated_mlp, grouped_query, mlp, product

LAYERS, WIDTH, HEADS, KV, HEAD, INNER, VOCAB = 4, 128, 4, 2, 32, 320, 500


def llama_config(layers: int = LAYERS, width: int = WIDTH, head: int = HEAD, inner: int = INNER, vocab: int = VOCAB):
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=HEADS,
        num_key_value_heads=KV, head_dim=head, vocab_size=vocab, max_position_embeddings=S,
    )  # fmt: skip


def llama_layer(width: int = WIDTH, head: int = HEAD, inner: int = INNER) -> Truth:
    """Four projections, causal attention, three matrices."""
    return grouped_query(width, HEADS, KV, head) + causal_attention(HEADS, head) + gated_mlp(width, inner)


LLAMA = LAYERS * llama_layer() + product(T, WIDTH, VOCAB)

TINY_LAYERS, TINY_WIDTH, TINY_HEAD, TINY_INNER, TINY_VOCAB = 6, 16, 4, 32, 64
TINY = TINY_LAYERS * llama_layer(TINY_WIDTH, TINY_HEAD, TINY_INNER) + product(T, TINY_WIDTH, TINY_VOCAB)


def _tiny() -> nn.Module:
    return causal_lm(llama_config(TINY_LAYERS, TINY_WIDTH, TINY_HEAD, TINY_INNER, TINY_VOCAB), "eager")


def _gpt2() -> nn.Module:
    from transformers import GPT2Config

    config = GPT2Config(
        n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, vocab_size=VOCAB, n_positions=S, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0,
    )  # fmt: skip
    return causal_lm(config, "sdpa")


GPT2 = LAYERS * (
    product(T, WIDTH, 3 * WIDTH) + product(T, WIDTH, WIDTH) + causal_attention(HEADS, WIDTH // HEADS)
    + mlp(WIDTH, 4 * WIDTH)
) + product(T, WIDTH, VOCAB)  # fmt: skip

WINDOW = 32
GEMMA: dict[str, Any] = {
    "hidden_size": WIDTH, "intermediate_size": INNER, "num_attention_heads": HEADS, "num_key_value_heads": KV,
    "head_dim": HEAD, "vocab_size": VOCAB, "max_position_embeddings": S, "sliding_window": WINDOW,
}  # fmt: skip
GEMMA_SHARED = grouped_query(WIDTH, HEADS, KV, HEAD) + gated_mlp(WIDTH, INNER)
SLIDING, GLOBAL = causal_attention(HEADS, HEAD, size=WINDOW), causal_attention(HEADS, HEAD)


def _gemma3() -> nn.Module:
    from transformers import Gemma3TextConfig

    kinds = ["sliding_attention"] * 5 + ["full_attention"]
    return causal_lm(Gemma3TextConfig(**GEMMA, num_hidden_layers=6, layer_types=kinds), "sdpa")


GEMMA3 = 6 * GEMMA_SHARED + 5 * SLIDING + GLOBAL + product(T, WIDTH, VOCAB)


def _gemma2() -> nn.Module:
    from transformers import Gemma2Config

    return causal_lm(Gemma2Config(**GEMMA, num_hidden_layers=4, query_pre_attn_scalar=HEAD), "eager")


# every second layer slides, the first of them too
GEMMA2 = 4 * GEMMA_SHARED + 2 * SLIDING + 2 * GLOBAL + product(T, WIDTH, VOCAB)

SPECIMENS = (
    Specimen("Llama GQA sdpa", lambda: causal_lm(llama_config(), "sdpa"), tokens(VOCAB, B, S), LLAMA),
    Specimen(
        "Llama GQA eager", lambda: causal_lm(llama_config(), "eager"), tokens(VOCAB, B, S), LLAMA,
        executed=(LLAMA.full, LLAMA.train_full),
    ),
    Specimen(
        "Llama of tiny ops eager", _tiny, tokens(TINY_VOCAB, B, S), TINY, executed=(TINY.full, TINY.train_full),
    ),
    Specimen("GPT-2 sdpa, tied", _gpt2, tokens(VOCAB, B, S), GPT2),
    Specimen("Gemma3 sliding sdpa, tied", _gemma3, tokens(VOCAB, B, S), GEMMA3),
    Specimen(
        "Gemma2 eager", _gemma2, tokens(VOCAB, B, S), GEMMA2, executed=(GEMMA2.full, GEMMA2.train_full),
    ),
)  # fmt: skip
