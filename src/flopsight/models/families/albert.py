"""ALBERT (a few layers stored, run many times) and DistilBERT."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from flopsight.models.blocks.decoder import block
from flopsight.models.blocks.encoder import NO_DECODE, classifier, head_of, labels, mlm_head, put, self_attention
from flopsight.models.blocks.mlp import plain_mlp
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.norm import Norm

POOLED = ("Model", "PreTraining", "SequenceClassification", "MultipleChoice")


def albert_layer(c: Config, width: int) -> Node:
    """Post-norm, with names of its own."""
    heads, inner = c.heads(width), c.int("intermediate_size")
    norm = Norm(width, "layer", bias=True)
    attention = branch(
        "attention",
        *self_attention(width, heads, width // heads, ("query", "key", "value")),
        leaf("dense", Linear("attention", width, width, True)),
        leaf("LayerNorm", norm, place="post"),
    )
    ffn = plain_mlp(width, inner, "", names=("ffn", "ffn_output"), activate=c.word("hidden_act"))
    return block(attention, ffn, leaf("full_layer_layer_norm", norm, place="post"), width=width)


def groups(c: Config, layer: Node) -> Node:
    """Each group is stored once and run for its share of the layers."""
    layers, count, inner = c.layers(), c.int("num_hidden_groups", most=100_000), c.int("inner_group_num", most=100_000)
    runs = Counter(int(i / (layers / count)) for i in range(layers))
    group = branch("", stack("albert_layers", [layer] * inner))
    return stack("albert_layer_groups", [replace(group, runs=runs[i]) for i in range(count)])


def albert(c: Config) -> Model:
    """One layer run over and over, over a narrow embedding widened by one matrix."""
    width, narrow, vocab = c.int("hidden_size"), c.int("embedding_size"), c.int("vocab_size")
    head = head_of(c, "MaskedLM")
    body = (
        _embeddings(c, narrow),
        branch(
            "encoder",
            leaf("embedding_hidden_mapping_in", Linear("embedding", narrow, width, True)),
            groups(c, albert_layer(c, width)),
        ),
        leaf("pooler", Linear("pooler", width, width, True), stream="sequence") if head in POOLED else None,
    )
    beside = _heads(c, head, width)
    if head in ("MaskedLM", "PreTraining"):
        mlm = mlm_head(
            "predictions", width, vocab, inner=narrow, tied=c.tied(), dense="dense", norm="LayerNorm",
        )  # fmt: skip
        beside = (mlm, *(beside or ()))
    return _model(c, head, "albert", body, beside)


def _embeddings(c: Config, width: int, *, types: bool = True) -> Node:
    return branch(
        "embeddings",
        leaf("word_embeddings", Embedding(c.int("vocab_size"), width)),
        leaf("position_embeddings", Embedding(c.int("max_position_embeddings"), width)),
        leaf("token_type_embeddings", Embedding(c.int("type_vocab_size", least=0), width)) if types else None,
        leaf("LayerNorm", Norm(width, "layer", bias=True), place="embedding"),
    )


def _heads(c: Config, head: str, width: int) -> tuple[Node, ...] | None:
    if head in ("Model", "MaskedLM"):
        return ()
    if head == "PreTraining":
        return (classifier(width, labels(c), "sop_classifier.classifier"),)
    if head in ("SequenceClassification", "MultipleChoice"):
        return (classifier(width, 1 if head == "MultipleChoice" else labels(c)),)
    if head in ("TokenClassification", "QuestionAnswering"):
        name = "classifier" if head == "TokenClassification" else "qa_outputs"
        return (classifier(width, labels(c), name, stream=None),)
    return None


def _model(c: Config, head: str, prefix: str, body: tuple[Node | None, ...], beside: tuple[Node, ...] | None) -> Model:
    bare = head == "Model" or beside is None
    root = branch("", branch("" if bare else prefix, *body), *(beside or ()))
    unknown = () if beside is not None else (f"The head of {head} is not known; the body alone is counted.",)
    return Model(
        "", c.model_type, root, tied=head in ("MaskedLM", "PreTraining") and c.tied(), notes=(NO_DECODE,),
        unknown=unknown, context=c.int("max_position_embeddings"),
    )  # fmt: skip


def distilbert(c: Config) -> Model:
    """BERT with half the layers, no token types, no pooler."""
    width, vocab = c.int("dim"), c.int("vocab_size")
    c.ignore("sinusoidal_pos_embds")
    head = head_of(c, "MaskedLM")
    body = (
        _embeddings(c, width, types=False),
        branch("transformer", stack("layer", [distil_layer(c, width)] * c.layers())),
    )
    beside = _heads(c, head, width)
    if head == "MaskedLM":
        beside = (
            mlm_head(
                "", width, vocab, tied=c.tied(), dense="vocab_transform", norm="vocab_layer_norm",
                decoder="vocab_projector", bias="vocab_projector.bias", own_bias=False,
            ),
        )  # fmt: skip
    elif head in ("SequenceClassification", "MultipleChoice"):
        beside = (put("pre_classifier", Linear("other", width, width, True), stream="sequence"), *(beside or ()))
    return _model(c, head, "distilbert", body, beside)


def distil_layer(c: Config, width: int) -> Node:
    """Post-norm, with names of its own."""
    heads, norm = c.heads(width), Norm(width, "layer", bias=True)
    attention = branch(
        "attention",
        *self_attention(width, heads, width // heads, ("q_lin", "k_lin", "v_lin")),
        leaf("out_lin", Linear("attention", width, width, True)),
    )
    ffn = plain_mlp(width, c.int("hidden_dim"), "ffn", names=("lin1", "lin2"), activate=c.word("activation"))
    return block(
        attention, leaf("sa_layer_norm", norm, place="post"), ffn, leaf("output_layer_norm", norm, place="post"),
        width=width,
    )  # fmt: skip


FAMILIES = {"albert": albert, "distilbert": distilbert}
