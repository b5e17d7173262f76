"""Models of text that hear: a Whisper encoder and a projector before a text decoder. Voxtral, Qwen2-Audio."""

from __future__ import annotations

from flopsight.models.blocks.mlp import act
from flopsight.models.blocks.shared_kv import renamed_kind
from flopsight.models.blocks.vision import beside_text
from flopsight.models.config import Config
from flopsight.models.families.bart import side, stage
from flopsight.models.families.composite import HEARD, compose, nested, text_decoder
from flopsight.models.tree import Model, Node, StreamRule, branch, leaf
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.vector import activation
from flopsight.workload import Work

LLAMA = {
    "model_type": "llama", "vocab_size": 131072, "hidden_size": 3072, "intermediate_size": 8192,
    "num_hidden_layers": 30, "num_key_value_heads": 8, "max_position_embeddings": 131072, "head_dim": 128,
}  # fmt: skip
"""The text decoder Voxtral's class takes where the file describes none."""


def clip_streams(length: int, group: int) -> dict[str, StreamRule]:
    """Clips of `length` encoder tokens, from twice as many frames; `group` of them make one token of the text."""

    def stream(tokens: int) -> StreamRule:
        return lambda w: Work(beside_text(w), tokens)

    return {"encoder": stream(length), "frames": stream(2 * length), "heard": stream(length // group)}


def tower(c: Config, name: str = "audio_tower") -> Node:
    """Two convolutions, stored positions, pre-norm layers without a bias on keys, a final norm."""
    s = side(c, "encoder", pre=True, key_bias=False)
    c.ignore("head_dim", "num_key_value_heads", "vocab_size", "num_hidden_layers")
    front = (
        leaf("conv1", Conv("audio", c.int("num_mel_bins"), s.width, (3,)), stream="frames"),
        leaf("conv2", Conv("audio", s.width, s.width, (3,))),
        leaf("embed_positions", Embedding(c.int("max_source_positions"), s.width)),
    )
    made = renamed_kind(stage(s, *front), "audio")
    return branch(name, *made.children, stream="encoder")


def voxtral(c: Config) -> Model:
    """As many encoder tokens as fill the encoder's inner width become one token of the text; never tied."""
    audio = c.sub("audio_config", "voxtral_encoder")
    given = c.sub("text_config").raw
    text = Config({**LLAMA, **given}, str(given.get("model_type") or "llama"), c.where, parent="text_config")
    c.children["text_config"] = text
    width, inner, wide = text.int("hidden_size"), audio.int("intermediate_size"), audio.int("hidden_size")
    if inner % wide:
        raise audio.fail("intermediate_size", inner, f"a multiple of the width {wide:,}")
    projector = branch(
        "multi_modal_projector",
        leaf("linear_1", Linear("projector", inner, width)),
        leaf("act", activation(act(c.word("projector_hidden_act", default="gelu")), width)),
        leaf("linear_2", Linear("projector", width, width)),
        stream="heard",
    )
    c.ignore("hidden_size", "vocab_size")
    streams = clip_streams(audio.int("max_source_positions"), inner // wide)
    return compose(c, text_decoder(c, text), tower(audio), projector, tied=False, streams=streams, notes=(HEARD,))


def qwen2_audio(c: Config) -> Model:
    """Pairs of encoder tokens averaged, one matrix; never tied."""
    audio = c.sub("audio_config", "qwen2_audio_encoder")
    text = nested(c, "text_config", usual={"model_type": "qwen2"})
    width = text.int("hidden_size")
    linear = Linear("projector", audio.int("d_model"), width, True)
    projector = branch("multi_modal_projector", leaf("linear", linear), stream="heard")
    streams = clip_streams(audio.int("max_source_positions"), 2)
    c.ignore("vocab_size")
    return compose(c, text_decoder(c, text), tower(audio), projector, tied=False, streams=streams, notes=(HEARD,))


FAMILIES = {"voxtral": voxtral, "qwen2_audio": qwen2_audio}
