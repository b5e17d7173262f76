"""T5, mT5, umT5 and Flan-T5: relative positions as a table, RMSNorm, no biases, an encoder and a decoder."""

from __future__ import annotations

from dataclasses import dataclass

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, head_nodes
from flopsight.models.blocks.encdec import SAME_LENGTH, cross_attention, two_sides
from flopsight.models.blocks.encoder import NO_DECODE, classifier, deep_classifier, head_of, labels
from flopsight.models.blocks.mlp import gated_mlp, plain_mlp
from flopsight.models.config import Config
from flopsight.models.tree import STREAMS, Model, Node, branch, leaf, stack
from flopsight.parts.linear import Embedding
from flopsight.parts.masks import Causal, Full
from flopsight.parts.norm import Norm

NAMES = ("q", "k", "v", "o")


@dataclass(frozen=True, slots=True)
class Sizes:
    """width d, head width e, inner width f, relative-position buckets, gating and activation."""

    width: int
    heads: int
    e: int
    inner: int
    buckets: int
    gated: bool
    activate: str


def sizes(c: Config) -> Sizes:
    """Read the T5 keys; `feed_forward_proj` is "relu" or "gated-gelu"."""
    c.ignore("relative_attention_max_distance", "is_gated_act", "dense_act_fn", "n_positions")
    parts = c.word("feed_forward_proj", default="relu").split("-")
    if len(parts) > 2 or (len(parts) == 2 and parts[0] != "gated"):
        raise c.fail("feed_forward_proj", "-".join(parts), "an activation, or gated- and an activation")
    return Sizes(
        c.int("d_model"), c.int("num_heads"), c.int("d_kv"), c.int("d_ff"), c.int("relative_attention_num_buckets"),
        len(parts) == 2, parts[-1],
    )  # fmt: skip


def layer(s: Sizes, *, decoder: bool, table: bool) -> Node:
    """Self-attention (with the table of relative positions if it owns one), cross-attention, feed-forward."""
    mixer = Attention(s.width, s.heads, s.heads, s.e, names=NAMES, mask=Causal() if decoder else Full(), cached=decoder)
    relative = leaf("relative_attention_bias", Embedding(s.buckets, s.heads, "attention"))
    steps = [mixer.node("SelfAttention", *((relative,) if table else ()))]
    if decoder:
        steps.append(cross_attention("EncDecAttention", s.width, s.heads, s.e, names=NAMES, biases=(False,) * 4))
    steps.append(feed_forward(s))
    norm = leaf("layer_norm", Norm(s.width), place="pre")
    blocks = [block(norm, step, width=s.width, residuals=1) for step in steps]
    return branch("", branch("layer", *(branch(str(i), *b.children) for i, b in enumerate(blocks))))


def feed_forward(s: Sizes) -> Node:
    """T5 1.0 has two matrices, 1.1 and its descendants gate."""
    if s.gated:
        return gated_mlp(s.width, s.inner, "DenseReluDense", names=("wi_0", "wi_1", "wo"), activate=s.activate)
    return plain_mlp(s.width, s.inner, "DenseReluDense", bias=False, names=("wi", "wo"), activate=s.activate)


def side(c: Config, s: Sizes, count: int, *, decoder: bool, stream: str | None) -> Node:
    """One stack; T5 keeps its relative positions in the first layer, umT5 in every layer."""
    every = c.model_type == "umt5"
    layers = [layer(s, decoder=decoder, table=every or i == 0) for i in range(count)]
    table = leaf("embed_tokens", Embedding(c.int("vocab_size"), s.width, tied=True))
    final = leaf("final_layer_norm", Norm(s.width), place="final")
    return branch("decoder" if decoder else "encoder", table, stack("block", layers), final, stream=stream)


def t5(c: Config) -> Model:
    """Encoder and decoder with one embedding; T5EncoderModel is the encoder alone."""
    s, head = sizes(c), head_of(c, "ConditionalGeneration")
    shared = leaf("shared", Embedding(c.int("vocab_size"), s.width))
    layers = c.layers("num_layers")
    if head in ("EncoderModel", "TokenClassification"):
        return encoder_only(c, s, head, shared, layers)
    tied, vocab = c.tied(), c.int("vocab_size")
    c.ignore("num_decoder_layers")
    body = (
        shared,
        side(c, s, layers, decoder=False, stream="encoder"),
        side(c, s, c.maybe("num_decoder_layers") or layers, decoder=True, stream=None),
    )
    notes = [SAME_LENGTH]
    if not tied:
        notes.append("The checkpoint keeps a head of its own; transformers 5 builds this class with a tied one.")
    root, unknown = _with_head(c, s, head, body, tied=tied, vocab=vocab)
    return Model(
        "", c.model_type, root, streams={**STREAMS, **two_sides()}, tied=tied, notes=tuple(notes), unknown=unknown
    )


def _with_head(
    c: Config, s: Sizes, head: str, body: tuple[Node, ...], *, tied: bool, vocab: int
) -> tuple[Node, tuple[str, ...]]:
    if head == "Model":
        return branch("", *body), ()
    if head == "SequenceClassification":
        found = deep_classifier(s.width, labels(c), "classification_head")
        return branch("", branch("transformer", *body), found), ()
    known = head in ("ConditionalGeneration", "WithLMHeadModel", "LMHeadModel")
    unknown = () if known else (f"The head of {head} is not known; the language-model head is counted.",)
    return branch("", *body, *head_nodes(s.width, vocab, tied=tied)), unknown


def encoder_only(c: Config, s: Sizes, head: str, shared: Node, layers: int) -> Model:
    """The text encoder of many image and video generators."""
    c.ignore("num_decoder_layers", "tie_word_embeddings")
    encoder = side(c, s, layers, decoder=False, stream=None)
    if head == "EncoderModel":
        root = branch("", shared, encoder)
    else:
        found = classifier(s.width, labels(c), stream=None)
        root = branch("", branch("transformer", shared, encoder), found)
    return Model("", c.model_type, root, notes=(NO_DECODE,))


FAMILIES = {"t5": t5, "mt5": t5, "umt5": t5}
