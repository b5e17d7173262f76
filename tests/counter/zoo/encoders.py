"""Models with an encoder: T5, Whisper, ViT, BERT."""

from __future__ import annotations

import torch
from torch import nn

from .specimen import Logits, Specimen, noise, tokens
from .truth import B, S, T, Truth, causal_attention, full_attention, mlp, product

WIDTH, HEADS, HEAD, INNER, VOCAB, LAYERS = 128, 4, 32, 320, 500, 3


def projections(rows: int, width: int = WIDTH) -> Truth:
    """Queries, keys, values and output of one stream."""
    return 4 * product(rows, width, HEADS * HEAD)


def encoder_layer(rows: int, length: int) -> Truth:
    """Full attention and a two-matrix MLP."""
    return projections(rows) + full_attention(HEADS, HEAD, length, length) + mlp(WIDTH, INNER, rows=rows)


def decoder_layer(source: int) -> Truth:
    """Causal attention, attention to `source` positions of the encoder, a two-matrix MLP."""
    cross = 2 * product(T, WIDTH, HEADS * HEAD) + 2 * product(B * source, WIDTH, HEADS * HEAD)
    return (
        projections(T) + causal_attention(HEADS, HEAD) + cross + full_attention(HEADS, HEAD, S, source)
        + mlp(WIDTH, INNER)
    )  # fmt: skip


def rebuilt(length: int) -> int:
    """The scores that the fused backward pass of every layer computes once more (Dao 2023, arXiv 2307.08691)."""
    return LAYERS * product(B * HEADS * length, HEAD, length).full


SOURCE = 64


def _t5() -> nn.Module:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=VOCAB, d_model=WIDTH, d_kv=HEAD, d_ff=INNER, num_layers=LAYERS, num_heads=HEADS, dropout_rate=0.0,
        decoder_start_token_id=0,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    return Logits(T5ForConditionalGeneration(config), "input_ids", "decoder_input_ids", use_cache=False)


T5 = LAYERS * (encoder_layer(B * SOURCE, SOURCE) + decoder_layer(SOURCE)) + product(T, WIDTH, VOCAB)

MELS, FRAMES = 16, 96


def _whisper() -> nn.Module:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=VOCAB, num_mel_bins=MELS, d_model=WIDTH, encoder_layers=LAYERS, decoder_layers=LAYERS,
        encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=INNER, decoder_ffn_dim=INNER,
        max_source_positions=FRAMES // 2, max_target_positions=S, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    model = WhisperForConditionalGeneration(config)
    return Logits(model, "input_features", "decoder_input_ids", use_cache=False)


# two convolutions of three taps, the second with stride two; the sound itself needs no gradient
STEM = product(B * FRAMES, MELS * 3, WIDTH, gradients=1) + product(B * FRAMES // 2, WIDTH * 3, WIDTH)
WHISPER = (
    STEM + LAYERS * (encoder_layer(B * FRAMES // 2, FRAMES // 2) + decoder_layer(FRAMES // 2))
    + product(T, WIDTH, VOCAB)
)  # fmt: skip

IMAGE, PATCH, CLASSES = 32, 4, 10
PATCHES = (IMAGE // PATCH) ** 2


def _vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=INNER,
        image_size=IMAGE, patch_size=PATCH, num_labels=CLASSES,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    return Logits(ViTForImageClassification(config), "pixel_values")


# pixels need no gradient; one more position carries the class, and only it reaches the head
VIT = (
    product(B * PATCHES, 3 * PATCH * PATCH, WIDTH, gradients=1)
    + LAYERS * encoder_layer(B * (PATCHES + 1), PATCHES + 1)
    + product(B, WIDTH, CLASSES)
)


def _bert() -> nn.Module:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=INNER, max_position_embeddings=S, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    return Logits(BertForMaskedLM(config), "input_ids")


BERT = LAYERS * encoder_layer(T, S) + product(T, WIDTH, WIDTH) + product(T, WIDTH, VOCAB)


def _both(first, second):
    def draw() -> tuple[torch.Tensor, ...]:
        return first() + second()

    return draw


SPECIMENS = (
    Specimen("T5 encoder-decoder sdpa", _t5, _both(tokens(VOCAB, B, SOURCE), tokens(VOCAB, B, S)), T5),
    Specimen("Whisper sdpa", _whisper, _both(noise(B, MELS, FRAMES), tokens(VOCAB, B, S)), WHISPER),
    Specimen(
        "ViT sdpa", _vit, noise(B, 3, IMAGE, IMAGE), VIT, executed=(VIT.full, VIT.train_full + rebuilt(PATCHES + 1))
    ),
    Specimen("BERT sdpa", _bert, tokens(VOCAB, B, S), BERT, executed=(BERT.full, BERT.train_full + rebuilt(S))),
)
