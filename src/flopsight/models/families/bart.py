"""BART and the encoder-decoders built like it: mBART, PLBart, Pegasus, Marian, M2M-100 and NLLB, Blenderbot."""

from __future__ import annotations

from dataclasses import dataclass

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, head_nodes
from flopsight.models.blocks.encdec import SAME_LENGTH, cross_attention, two_sides
from flopsight.models.blocks.encoder import deep_classifier, head_of, labels
from flopsight.models.blocks.mlp import plain_mlp
from flopsight.models.config import Config
from flopsight.models.tree import STREAMS, Model, Node, branch, leaf, stack
from flopsight.parts.linear import Buffer, Embedding
from flopsight.parts.masks import Causal, Full
from flopsight.parts.norm import Norm

OUT_PROJ = ("q_proj", "k_proj", "v_proj", "out_proj")


@dataclass(frozen=True, slots=True)
class Layout:
    """What the relatives differ in.

    pre        norms before each block and one behind the last layer; otherwise after each block
    embed_norm a norm over the embeddings
    offset     rows of the position table beyond the positions; None where positions are computed, not stored
    bias       logits get a stored (untrained) bias
    """

    pre: bool = False
    embed_norm: bool = True
    offset: int | None = 2
    bias: bool = True


LAYOUTS = {
    "bart": Layout(),
    "plbart": Layout(),
    "blenderbot-small": Layout(offset=0),
    "mbart": Layout(pre=True),
    "pegasus": Layout(pre=True, embed_norm=False, offset=0),
    "blenderbot": Layout(pre=True, embed_norm=False, offset=0),
    "marian": Layout(embed_norm=False, offset=0),
    "m2m_100": Layout(pre=True, embed_norm=False, offset=None, bias=False),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One side: width, heads, inner width, layers, activation; biases of query, key, value, output."""

    name: str
    width: int
    heads: int
    inner: int
    layers: int
    activate: str
    pre: bool
    biases: tuple[bool, bool, bool, bool] = (True, True, True, True)

    @property
    def e(self) -> int:
        """Width of one head."""
        return self.width // self.heads


def side(c: Config, name: str, *, pre: bool, key_bias: bool = True) -> Side:
    """Read `encoder_*` or `decoder_*` keys."""
    width = c.int("d_model")
    heads = c.heads(width, f"{name}_attention_heads")
    return Side(
        name, width, heads, c.int(f"{name}_ffn_dim"), c.layers(f"{name}_layers"), c.word("activation_function"), pre,
        (True, key_bias, True, True),
    )  # fmt: skip


def layer(s: Side, *, length: int = 0) -> Node:
    """Self-attention, in a decoder cross-attention, feed-forward; `length` is the encoder's, where it is fixed."""
    decoder = s.name == "decoder"
    norm, place = Norm(s.width, "layer", bias=True), "pre" if s.pre else "post"
    mixer = Attention(
        s.width, s.heads, s.heads, s.e, names=OUT_PROJ, biases=s.biases, mask=Causal() if decoder else Full(),
        cached=decoder,
    )  # fmt: skip
    steps = [(mixer.node(), "self_attn_layer_norm")]
    if decoder:
        cross = cross_attention("encoder_attn", s.width, s.heads, s.e, biases=s.biases, length=length)
        steps.append((cross, "encoder_attn_layer_norm"))
    steps.append((plain_mlp(s.width, s.inner, "", activate=s.activate), "final_layer_norm"))
    nodes: list[Node] = []
    for step, name in steps:
        pair = [leaf(name, norm, place=place), step]
        nodes += pair if s.pre else pair[::-1]
    return block(*nodes, width=s.width, residuals=len(steps))


def stage(s: Side, *front: Node | None, length: int = 0) -> Node:
    """Everything of one side; `front` stands before its layers."""
    norm = Norm(s.width, "layer", bias=True)
    return branch(
        s.name, *front, stack("layers", [layer(s, length=length)] * s.layers),
        leaf("layer_norm", norm, place="final") if s.pre else None,
        stream="encoder" if s.name == "encoder" else None,
    )  # fmt: skip


def front(c: Config, layout: Layout, width: int, table: Embedding) -> tuple[Node | None, ...]:
    """Embedding, positions, and their norm."""
    positions = None
    if layout.offset is not None:
        positions = leaf("embed_positions", Embedding(c.int("max_position_embeddings") + layout.offset, width))
    norm = Norm(width, "layer", bias=True)
    return (
        leaf("embed_tokens", table),
        positions,
        leaf("layernorm_embedding", norm, place="embedding") if layout.embed_norm else None,
    )


def bart(c: Config) -> Model:
    """One vocabulary for both sides and, unless untied, one table for both embeddings and the head."""
    layout, tied, vocab = LAYOUTS[c.model_type], c.tied(), c.int("vocab_size")
    encoder, decoder = (side(c, n, pre=layout.pre) for n in ("encoder", "decoder"))
    c.ignore("num_hidden_layers", "normalize_embedding", "normalize_before", "add_final_layer_norm")
    width, target, apart = encoder.width, vocab, False
    if c.model_type == "marian":
        apart = not c.flag("share_encoder_decoder_embeddings", default=True)
        target = (c.maybe("decoder_vocab_size") or vocab) if apart else vocab
    tables = [Embedding(n, width, tied=tied and not apart) for n in (vocab, target)]
    body = (
        None if apart else leaf("shared", Embedding(vocab, width)),
        stage(encoder, *front(c, layout, width, tables[0])),
        stage(decoder, *front(c, layout, width, tables[1])),
    )
    root, unknown = with_head(c, layout, body, width, target, tied=tied)
    return Model(
        "", c.model_type, root, streams={**STREAMS, **two_sides()}, tied=tied, notes=(SAME_LENGTH,), unknown=unknown,
        context=c.int("max_position_embeddings"),
    )  # fmt: skip


def with_head(
    c: Config, layout: Layout, body: tuple[Node | None, ...], width: int, vocab: int, *, tied: bool
) -> tuple[Node, tuple[str, ...]]:
    """The head that `architectures` names, the language-model head by default."""
    head = head_of(c, "ConditionalGeneration")
    if head == "Model":
        return branch("", *body), ()
    inner = branch("model", *body)
    if head == "SequenceClassification":
        return branch("", inner, deep_classifier(width, labels(c), "classification_head")), ()
    known = head in ("ConditionalGeneration", "MTModel")
    unknown = () if known else (f"The head of {head} is not known; the language-model head is counted.",)
    bias = leaf("final_logits_bias", Buffer("lm_head", (1, vocab)), stream="scored") if layout.bias else None
    return branch("", inner, bias, *head_nodes(width, vocab, tied=tied)), unknown


FAMILIES = dict.fromkeys(LAYOUTS, bart)
