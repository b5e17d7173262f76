"""What encoders share: the head that `architectures` names, masked-language-model heads, poolers, classifiers."""

from __future__ import annotations

from collections.abc import Mapping

from flopsight.models.blocks.mlp import act
from flopsight.models.config import Config
from flopsight.models.tree import Node, branch, leaf
from flopsight.parts.attention import AttentionCore
from flopsight.parts.linear import Linear, Parameter
from flopsight.parts.masks import Full, Mask
from flopsight.parts.norm import Norm
from flopsight.parts.part import Part
from flopsight.parts.vector import activation, softmax

NO_DECODE = "An encoder reads whole sequences: it keeps no cache and has no decode phase."


def put(path: str, part: Part, *, stream: str | None = None, place: str = "") -> Node:
    """A part at a dotted path."""
    head, _, rest = path.partition(".")
    return (
        branch(head, put(rest, part, stream=stream, place=place))
        if rest
        else leaf(head, part, stream=stream, place=place)
    )


def inside(path: str, *children: Node | None, stream: str | None = None) -> Node:
    """Children at a dotted path; an empty path adds no step."""
    head, _, rest = path.partition(".")
    return branch(head, inside(rest, *children), stream=stream) if rest else branch(head, *children, stream=stream)


def head_of(c: Config, default: str) -> str:
    """What the class in `architectures` adds to the body: "Model" (nothing), "MaskedLM", "SequenceClassification"..."""
    named = c.get("architectures", default=None)
    first = named[0] if isinstance(named, list) and named else None
    if not isinstance(first, str):
        return default
    _, has, head = first.rpartition("For")
    if has:
        return head
    return "LMHeadModel" if first.endswith("LMHeadModel") else next((e for e in ENDINGS if first.endswith(e)), "Model")


ENDINGS = ("EncoderModel", "TextModelWithProjection", "VisionModelWithProjection", "MTModel")
"""Classes whose name says what they add without a "For"."""


def labels(c: Config) -> int:
    """Number of classes: the length of `id2label`, else `num_labels`, else two."""
    named = c.get("id2label", default=None)
    c.ignore("num_labels", "label2id")
    if isinstance(named, Mapping | list) and named:
        return len(named)
    return c.maybe("num_labels") or 2


def self_attention(
    width: int, heads: int, e: int, names: tuple[str, str, str], *, mask: Mask | None = None, bias: bool = True
) -> tuple[Node, ...]:
    """Query, key, value and the core, without the output projection, which encoders keep in another module."""
    mask = mask or Full()
    part = Linear("attention", width, heads * e, bias)
    core = AttentionCore(heads, e, e, heads, mask, cached=not isinstance(mask, Full))
    return (*(leaf(name, part) for name in names), leaf("core", core))


def bert_mlp(width: int, inner: int, activate: str) -> tuple[Node, Node]:
    """The two matrices in the modules `intermediate` and `output`."""
    up = branch(
        "intermediate", leaf("dense", Linear("mlp", width, inner, True)), leaf("act", activation(act(activate), inner))
    )
    return up, branch("output", leaf("dense", Linear("mlp", inner, width, True)))


def pooler(width: int, name: str = "dense") -> Node:
    """A dense layer on the first token."""
    return branch("pooler", put(name, Linear("pooler", width, width, True)), stream="sequence")


def mlm_head(
    path: str,
    width: int,
    vocab: int,
    *,
    inner: int = 0,
    tied: bool = True,
    dense: str = "transform.dense",
    norm: str = "transform.LayerNorm",
    decoder: str = "decoder",
    bias: str = "bias",
    causal: bool = False,
    holds_table: bool = False,
    own_bias: bool = True,
) -> Node:
    """Dense, activation, norm, and the matrix to the vocabulary, which is the input embedding where `tied`.

    `holds_table` files the tied matrix here instead of with the embeddings; an untied matrix brings a second bias
    if `own_bias`. Every position is scored, as the framework does; only a causal one can leave positions out.
    """
    inner = inner or width
    nodes = (
        put(bias, Parameter("lm_head", (vocab,), vocab)),
        put(dense, Linear("lm_head", width, inner, True)),
        put(norm, Norm(inner, "layer", bias=True, kind="lm_head"), place="head"),
        put(decoder, _decoder(inner, vocab, tied, holds_table, own_bias and not tied)),
        leaf("sampler", softmax(vocab)),
    )
    return inside(path, *nodes, stream="scored" if causal else None)


def _decoder(inner: int, vocab: int, tied: bool, holds_table: bool, bias: bool) -> Linear:
    kind = "embedding" if tied and holds_table else "lm_head"
    return Linear(kind, inner, vocab, bias, tied=tied and not holds_table)


def classifier(width: int, outputs: int, name: str = "classifier", *, stream: str | None = "sequence") -> Node:
    """One matrix to the classes, on one vector a sequence or on every token (`stream` None)."""
    return put(name, Linear("other", width, outputs, True), stream=stream)


def deep_classifier(width: int, outputs: int, name: str = "classifier") -> Node:
    """A dense layer and a matrix to the classes, on the first token."""
    dense, out = Linear("other", width, width, True), Linear("other", width, outputs, True)
    return branch(name, leaf("dense", dense), leaf("out_proj", out), stream="sequence")
