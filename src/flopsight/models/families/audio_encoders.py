"""Whisper's encoder as a model of its own, as Voxtral and Qwen2-Audio hold it."""

from __future__ import annotations

from flopsight.models.blocks.encoder import NO_DECODE
from flopsight.models.config import Config
from flopsight.models.families.bart import side, stage
from flopsight.models.tree import STREAMS, Model, StreamRule, branch, leaf
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Embedding
from flopsight.workload import Work, Workload


def one_clip(length: int) -> dict[str, StreamRule]:
    """One clip a sequence: `length` tokens from twice as many frames, whatever was said."""

    def tokens(w: Workload) -> Work:
        return Work(w.batch, length)

    def frames(w: Workload) -> Work:
        return Work(w.batch, 2 * length)

    return {**STREAMS, "text": tokens, "scored": tokens, "encoder": tokens, "frames": frames}


def encoder_alone(c: Config) -> Model:
    """Two convolutions, stored positions, pre-norm layers without a bias on keys, a final norm."""
    s = side(c, "encoder", pre=True, key_bias=False)
    c.ignore("head_dim", "num_key_value_heads", "vocab_size", "num_hidden_layers")
    length = c.int("max_source_positions")
    front = (
        leaf("conv1", Conv("frontend", c.int("num_mel_bins"), s.width, (3,)), stream="frames"),
        leaf("conv2", Conv("frontend", s.width, s.width, (3,))),
        leaf("embed_positions", Embedding(length, s.width)),
    )
    notes = (f"One clip of {2 * length:,} frames a sequence.", NO_DECODE)
    return Model("", c.model_type, branch("", *stage(s, *front).children), streams=one_clip(length), notes=notes)


FAMILIES = {"voxtral_encoder": encoder_alone, "qwen2_audio_encoder": encoder_alone}
