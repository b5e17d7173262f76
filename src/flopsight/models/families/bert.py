"""BERT and its descendants with learned positions: RoBERTa, XLM-R, CamemBERT, ERNIE, ELECTRA, RemBERT, MPNet, ..."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flopsight.models.blocks.decoder import block
from flopsight.models.blocks.encoder import (
    NO_DECODE,
    bert_mlp,
    classifier,
    deep_classifier,
    head_of,
    labels,
    mlm_head,
    pooler,
    put,
    self_attention,
)
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.masks import Causal, Full
from flopsight.parts.norm import Norm


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a family keeps its tensors.

    prefix      module of the body in classes with a head
    norms       of attention and feed-forward, as paths inside a layer, applied before or after it (`place`)
    final       path of a norm behind the last layer, or ""
    embed_norm  a norm over the embeddings
    head        "bert" (cls.predictions) or "roberta" (lm_head)
    pooled      heads of the family that keep the pooler
    """

    prefix: str = "bert"
    norms: tuple[str, str] = ("attention.output.LayerNorm", "output.LayerNorm")
    place: str = "post"
    final: str = ""
    embed_norm: bool = True
    head: str = "bert"
    pooled: tuple[str, ...] = (
        "Model",
        "PreTraining",
        "NextSentencePrediction",
        "SequenceClassification",
        "MultipleChoice",
    )
    attention: tuple[str, str, tuple[str, str, str]] = ("self", "output.dense", ("query", "key", "value"))
    token_types: bool = True


BERT = Layout()
ROBERTA = Layout("roberta", head="roberta", pooled=("Model", "MultipleChoice"))
MPNET = Layout(
    "mpnet", ("attention.LayerNorm", "output.LayerNorm"), head="roberta", pooled=ROBERTA.pooled,
    attention=("attn", "attn.o", ("q", "k", "v")), token_types=False,
)  # fmt: skip
LAYOUTS = {
    "bert": BERT,
    "ernie": Layout("ernie"),
    "megatron-bert": Layout(norms=("attention.ln", "ln"), place="pre", final="encoder.ln", embed_norm=False),
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "data2vec-text": Layout("data2vec_text", head="roberta", pooled=ROBERTA.pooled),
    "xlm-roberta-xl": Layout(
        "roberta", ("attention.self_attn_layer_norm", "LayerNorm"), "pre", "encoder.LayerNorm", False, "roberta",
        ROBERTA.pooled,
    ),
    "roberta-prelayernorm": Layout(
        "roberta_prelayernorm", ("attention.LayerNorm", "intermediate.LayerNorm"), "pre", "LayerNorm", True, "roberta",
        ROBERTA.pooled,
    ),
    "electra": Layout("electra", head="electra", pooled=()),
    "rembert": Layout("rembert", head="rembert"),
    "mpnet": MPNET,
}  # fmt: skip


def layer(c: Config, layout: Layout) -> Node:
    """One layer: attention and feed-forward, a norm before or after each."""
    width = c.int("hidden_size")
    heads = c.heads(width)
    inner, out, names = layout.attention
    mask = Causal() if c.flag("is_decoder", default=False) else Full()
    up, down = bert_mlp(width, c.int("intermediate_size"), c.word("hidden_act", default="gelu"))
    norm = Norm(width, "layer", bias=True)
    norms = [put(path, norm, place=layout.place) for path in layout.norms]
    mixer = branch(
        "attention",
        branch(inner, *self_attention(width, heads, width // heads, names, mask=mask)),
        put(out, Linear("attention", width, width, True)),
    )
    before = layout.place == "pre"
    order = (norms[0], mixer, norms[1], up, down) if before else (mixer, norms[0], up, down, norms[1])
    return block(*order, width=width)


def embeddings(c: Config, layout: Layout, width: int) -> Node:
    """Words, positions, token types, and their norm."""
    shared = c.model_type in HELD_BY_HEAD and _is_mlm(head_of(c, "MaskedLM")) and c.tied()
    types = c.int("type_vocab_size", least=0) if layout.token_types else 0
    return branch(
        "embeddings",
        leaf("word_embeddings", Embedding(c.int("vocab_size"), width, tied=shared)),
        leaf("position_embeddings", Embedding(c.int("max_position_embeddings"), width)),
        leaf("token_type_embeddings", Embedding(types, width)) if layout.token_types else None,
        _task_types(c, width),
        leaf("LayerNorm", Norm(width, "layer", bias=True), place="embedding") if layout.embed_norm else None,
    )


def _task_types(c: Config, width: int) -> Node | None:
    if c.model_type != "ernie" or not c.flag("use_task_id", default=False):
        return None
    return leaf("task_type_embeddings", Embedding(c.int("task_type_vocab_size"), width))


def body(c: Config, layout: Layout, head: str) -> tuple[Node | None, ...]:
    """Embeddings, layers, pooler."""
    width = c.int("hidden_size")
    table = c.int(*TABLE_WIDTH[c.model_type]) if c.model_type in TABLE_WIDTH else width
    layers = [layer(c, layout)] * c.layers()
    mapping = Linear("embedding", table, width, True)
    relative = None
    if c.model_type == "mpnet":
        relative = put(
            "encoder.relative_attention_bias",
            Embedding(c.int("relative_attention_num_buckets"), c.heads(width), "attention"),
        )
    return (
        embeddings(c, layout, table),
        leaf("embeddings_project", mapping) if c.model_type == "electra" and table != width else None,
        put("encoder.embedding_hidden_mapping_in", mapping) if c.model_type == "rembert" else None,
        branch("encoder", stack("layer", layers)),
        relative,
        put(layout.final, Norm(width, "layer", bias=True), place="final") if layout.final else None,
        pooler(width) if head in layout.pooled else None,
    )


HELD_BY_HEAD = ("camembert", "xlm-roberta")
"""Types whose framework files a tied table under the head's name."""
TABLE_WIDTH = {"electra": ("embedding_size",), "rembert": ("input_embedding_size",)}


def _is_mlm(head: str) -> bool:
    return head in ("MaskedLM", "PreTraining", "LMHeadModel", "CausalLM")


def mlm(c: Config, layout: Layout, width: int, vocab: int) -> tuple[Node, ...]:
    """The masked-language-model head under the family's names."""
    tied, causal = c.tied(), c.flag("is_decoder", default=False)
    if layout.head == "bert":
        return (mlm_head("cls.predictions", width, vocab, tied=tied, causal=causal),)
    if layout.head == "roberta":
        held = c.model_type in HELD_BY_HEAD
        return (
            mlm_head(
                "lm_head", width, vocab, tied=tied, dense="dense", norm="layer_norm", causal=causal, holds_table=held
            ),
        )
    if layout.head == "rembert":
        inner = c.int("output_embedding_size")
        return (
            mlm_head(
                "cls.predictions", width, vocab, inner=inner, tied=False, dense="dense", norm="LayerNorm",
                bias="decoder.bias", causal=causal, own_bias=False,
            ),
        )  # fmt: skip
    return (
        mlm_head(
            "", width, vocab, inner=c.int("embedding_size"), tied=tied, dense="generator_predictions.dense",
            norm="generator_predictions.LayerNorm", decoder="generator_lm_head", bias="generator_lm_head.bias",
            causal=causal, own_bias=False,
        ),
    )  # fmt: skip


def electra_heads(width: int) -> Node:
    """ELECTRA's discriminator: is this token the original."""
    return branch(
        "discriminator_predictions",
        leaf("dense", Linear("lm_head", width, width, True)),
        leaf("dense_prediction", Linear("lm_head", width, 1, True)),
    )


def heads(c: Config, layout: Layout, head: str) -> tuple[Node, ...] | None:
    """The modules beside the body; None for a head that is not known."""
    width = c.int("hidden_size")
    flat = layout.head in ("bert", "rembert")
    found: dict[str, Callable[[], tuple[Node, ...]]] = {
        "Model": tuple,
        "NextSentencePrediction": lambda: (classifier(width, 2, "cls.seq_relationship"),),
        "SequenceClassification": lambda: ((classifier if flat else deep_classifier)(width, labels(c)),),
        "TokenClassification": lambda: (classifier(width, labels(c), stream=None),),
        "QuestionAnswering": lambda: (classifier(width, labels(c), "qa_outputs", stream=None),),
        "MultipleChoice": lambda: (classifier(width, 1),),
    }
    if head == "PreTraining" and layout.head == "electra":
        return (electra_heads(width),)
    if _is_mlm(head):
        pair = (classifier(width, 2, "cls.seq_relationship"),) if head == "PreTraining" else ()
        return (*mlm(c, layout, width, c.int("vocab_size")), *pair)
    return found[head]() if head in found else None


def bert(c: Config) -> Model:
    """A post-norm encoder (a few descendants are pre-norm), with the head its `architectures` names."""
    layout = LAYOUTS[c.model_type]
    head = head_of(c, "MaskedLM")
    beside = heads(c, layout, head)
    unknown = [] if beside is not None else [f"The head of {head} is not known; the body alone is counted."]
    if c.flag("add_cross_attention", default=False):
        unknown.append("The cross-attention of an encoder used as a decoder is not counted.")
    main = body(c, layout, "Model" if beside is None else head)
    root = branch("", branch("" if head == "Model" else layout.prefix, *main), *(beside or ()))
    tied = _is_mlm(head) and c.tied()
    return Model(
        "", c.model_type, root, tied=tied, notes=(NO_DECODE,), unknown=tuple(unknown),
        context=c.int("max_position_embeddings"),
    )  # fmt: skip


FAMILIES = dict.fromkeys(LAYOUTS, bert)
