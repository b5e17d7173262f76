"""Whisper: two convolutions over a spectrogram, an encoder of fixed length, a text decoder."""

from __future__ import annotations

from flopsight.expr import Number
from flopsight.models.blocks.decoder import head_nodes
from flopsight.models.blocks.encdec import two_sides
from flopsight.models.blocks.encoder import head_of
from flopsight.models.config import Config
from flopsight.models.families.bart import side, stage
from flopsight.models.tree import STREAMS, Model, Node, StreamRule, branch, leaf
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Embedding
from flopsight.workload import Work, Workload


def audio_streams(clip: int, most: int = 0) -> dict[str, StreamRule]:
    """The encoder reads `clip` tokens of a clip, or as many as the workload says, from twice as many frames."""

    def length(w: Workload) -> Number:
        return clip if w.encoder is None else w.encoder

    sides = two_sides(length, most)
    return {**sides, "frames": lambda w: Work(w.batch, 2 * sides["encoder"](w).queries)}


def whisper(c: Config) -> Model:
    """Thirty seconds of sound are 3,000 frames and 1,500 encoder tokens, whatever was said."""
    encoder, decoder = (side(c, n, pre=True, key_bias=False) for n in ("encoder", "decoder"))
    width, tied, vocab = encoder.width, c.tied(), c.int("vocab_size")
    source, target = c.int("max_source_positions"), c.int("max_target_positions")
    c.ignore("num_hidden_layers")
    body = (
        stage(encoder, *_frontend(c, width), leaf("embed_positions", Embedding(source, width))),
        stage(
            decoder, leaf("embed_tokens", Embedding(vocab, width)), leaf("embed_positions", Embedding(target, width)),
            length=source,
        ),
    )  # fmt: skip
    head = head_of(c, "ConditionalGeneration")
    known = head in ("Model", "ConditionalGeneration")
    main = branch("" if head == "Model" else "model", *body)
    after = () if head == "Model" else head_nodes(width, vocab, tied=tied, name="proj_out")
    return Model(
        "", c.model_type, branch("", main, *after), streams={**STREAMS, **audio_streams(source, target)}, tied=tied,
        notes=(f"One clip of {2 * source:,} frames a sequence; at most {target:,} text tokens.",),
        unknown=() if known else (f"The head of {head} is not known; the language-model head is counted.",),
        context=target,
    )  # fmt: skip


def _frontend(c: Config, width: int) -> tuple[Node, Node]:
    first = Conv("frontend", c.int("num_mel_bins"), width, (3,))
    return leaf("conv1", first, stream="frames"), leaf("conv2", Conv("frontend", width, width, (3,)))


FAMILIES = {"whisper": whisper}
