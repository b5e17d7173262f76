"""DeBERTa: attention that scores content with content, content with positions and positions with content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flopsight.expr import Number, minimum
from flopsight.models.blocks.decoder import block
from flopsight.models.blocks.encoder import NO_DECODE, bert_mlp, classifier, head_of, labels, mlm_head, pooler, put
from flopsight.models.config import Config
from flopsight.models.tree import STREAMS, Model, Node, StreamRule, branch, leaf, stack
from flopsight.parts.attention import AttentionCore
from flopsight.parts.conv import Conv
from flopsight.parts.disentangled import PositionScores
from flopsight.parts.linear import Embedding, Linear, Parameter
from flopsight.parts.masks import Full
from flopsight.parts.norm import Norm
from flopsight.workload import Work, Workload


@dataclass(frozen=True, slots=True)
class Positions:
    """How relative positions enter.

    span    distances told apart on each side; the table has twice as many rows, 0 for no relative attention
    clipped DeBERTa 1 uses only the rows a sequence needs, 2 and 3 always all
    terms   "c2p" and "p2c" as far as they are used
    shared  positions go through the content's projections (`share_att_key`) instead of their own
    """

    span: int
    clipped: bool
    terms: tuple[str, ...]
    shared: bool

    def rows(self, w: Workload) -> Number:
        """Rows of the table one pass uses."""
        return 2 * (minimum(w.seq, self.span) if self.clipped else self.span)

    def streams(self) -> dict[str, StreamRule]:
        """The table itself, once a pass whatever the batch, and every token against it."""
        rules: dict[str, StreamRule] = {
            "positions": lambda w: Work(1, self.rows(w)),
            "against_positions": lambda w: Work(w.batch, w.seq, keys=self.rows(w)),
        }
        return {**STREAMS, **rules}


def positions(c: Config) -> Positions:
    """`pos_att_type` is a list, or a string joined by |."""
    first = c.model_type == "deberta"
    terms = c.get("pos_att_type", default=None) or ()
    terms = tuple(t.strip() for t in terms.lower().split("|")) if isinstance(terms, str) else tuple(terms)
    if any(t not in ("c2p", "p2c") for t in terms):
        raise c.fail("pos_att_type", list(terms), "some of c2p and p2c")
    if not c.flag("relative_attention", default=False):
        c.ignore("max_relative_positions", "position_buckets", "share_att_key", "norm_rel_ebd")
        return Positions(0, first, (), False)
    span = _positive(c, "max_relative_positions") or c.int("max_position_embeddings")
    buckets = 0 if first else _positive(c, "position_buckets")
    return Positions(buckets or span, first, terms, not first and c.flag("share_att_key", default=False))


def _positive(c: Config, key: str) -> int:
    return max(0, c.int(key, default=-1, least=-1))


def projections(c: Config, width: int, heads: int, e: int, p: Positions) -> list[Node]:
    """Query, key, value, and what positions go through."""
    inner = heads * e
    if c.model_type == "deberta":
        found: list[Node | None] = [
            leaf("in_proj", Linear("attention", width, 3 * inner)),
            *(leaf(n, Parameter("attention", (inner,), inner)) for n in ("q_bias", "v_bias")),
            *_talking(c, heads),
        ]
        own = {"c2p": ("pos_proj", False), "p2c": ("pos_q_proj", True)}
    else:
        names = ("query_proj", "key_proj", "value_proj")
        found = [leaf(n, Linear("attention", width, inner, True)) for n in names]
        own = {"c2p": ("pos_key_proj", True), "p2c": ("pos_query_proj", True)}
    if p.shared:
        again = Linear("attention", width, inner, tied=True)
        found += [leaf(f"positions_{n}", again, stream="positions") for n in ("query", "key")]
    else:
        found += [leaf(own[t][0], Linear("attention", width, inner, own[t][1]), stream="positions") for t in p.terms]
    return [n for n in found if n is not None]


def _talking(c: Config, heads: int) -> tuple[Node, ...]:
    if not c.flag("talking_head", default=False):
        return ()
    raise c.fail("talking_head", True, "false (mixing heads is not counted)")


def layer(c: Config, width: int, p: Positions) -> Node:
    """Post-norm, as BERT, around disentangled attention."""
    heads = c.heads(width)
    e = c.maybe("attention_head_size") or width // heads
    norm = Norm(width, "layer", bias=True)
    scores = leaf("position_scores", PositionScores(heads, e, len(p.terms)), stream="against_positions")
    inner = branch(
        "self", *projections(c, width, heads, e, p), scores if p.terms else None,
        leaf("core", AttentionCore(heads, e, e, heads, Full(), cached=False)),
    )  # fmt: skip
    up, down = bert_mlp(width, c.int("intermediate_size"), c.word("hidden_act", default="gelu"))
    mixer = branch("attention", inner, put("output.dense", Linear("attention", heads * e, width, True)))
    return block(
        mixer, put("attention.output.LayerNorm", norm, place="post"), up, down,
        put("output.LayerNorm", norm, place="post"), width=width,
    )  # fmt: skip


def embeddings(c: Config, width: int) -> Node:
    """Words; positions unless `position_biased_input` is false; token types if there are any; their norm."""
    narrow = c.int("embedding_size", default=width)
    types = c.int("type_vocab_size", default=0, least=0)
    placed = c.flag("position_biased_input", default=True)
    return branch(
        "embeddings",
        leaf("word_embeddings", Embedding(c.int("vocab_size"), narrow)),
        leaf("position_embeddings", Embedding(c.int("max_position_embeddings"), narrow)) if placed else None,
        leaf("token_type_embeddings", Embedding(types, narrow)) if types else None,
        leaf("embed_proj", Linear("embedding", narrow, width)) if narrow != width else None,
        leaf("LayerNorm", Norm(width, "layer", bias=True), place="embedding"),
    )


def encoder(c: Config, width: int, p: Positions) -> Node:
    """The layers, the table of relative positions and its norm, and the convolution beside the first layer."""
    normed = "layer_norm" in str(c.get("norm_rel_ebd", default="none")).lower() and c.model_type != "deberta"
    kernel = 0 if c.model_type == "deberta" else c.int("conv_kernel_size", default=0, least=0)
    norm = Norm(width, "layer", bias=True)
    conv = None
    if kernel:
        part = Conv("mixer", width, width, (kernel,), groups=c.int("conv_groups", default=1))
        conv = branch("conv", leaf("conv", part), leaf("LayerNorm", norm, place="post"))
    return branch(
        "encoder",
        leaf("rel_embeddings", Embedding(2 * p.span, width, "attention"), stream="positions") if p.span else None,
        leaf("LayerNorm", norm, place="positions", stream="positions") if normed else None,
        stack("layer", [layer(c, width, p)] * c.layers()),
        conv,
    )


def heads(c: Config, head: str, width: int) -> tuple[Node, ...] | None:
    """The head that `architectures` names."""
    found: dict[str, Callable[[], tuple[Node, ...]]] = {
        "Model": tuple,
        "MaskedLM": lambda: (_mlm(c, width),),
        "SequenceClassification": lambda: (_pool(c, width), classifier(_pooled(c, width), labels(c))),
        "MultipleChoice": lambda: (_pool(c, width), classifier(_pooled(c, width), 1)),
        "TokenClassification": lambda: (classifier(width, labels(c), stream=None),),
        "QuestionAnswering": lambda: (classifier(width, labels(c), "qa_outputs", stream=None),),
    }
    return found[head]() if head in found else None


def _pooled(c: Config, width: int) -> int:
    return c.maybe("pooler_hidden_size") or width


def _pool(c: Config, width: int) -> Node:
    return pooler(_pooled(c, width))


def _mlm(c: Config, width: int) -> Node:
    vocab, tied = c.int("vocab_size"), c.tied()
    if c.flag("legacy", default=True):
        return mlm_head("cls.predictions", width, vocab, inner=c.int("embedding_size", default=width), tied=tied)
    return mlm_head("lm_predictions.lm_head", width, vocab, tied=True, dense="dense", norm="LayerNorm")


def deberta(c: Config) -> Model:
    """DeBERTa 1, 2 and 3."""
    width, head, p = c.int("hidden_size"), head_of(c, "MaskedLM"), positions(c)
    beside = heads(c, head, width)
    bare = head == "Model" or beside is None
    root = branch("", branch("" if bare else "deberta", embeddings(c, width), encoder(c, width, p)), *(beside or ()))
    unknown = () if beside is not None else (f"The head of {head} is not known; the body alone is counted.",)
    return Model(
        "", c.model_type, root, streams=p.streams(), tied=head == "MaskedLM" and c.tied(), notes=(NO_DECODE,),
        unknown=unknown, context=c.int("max_position_embeddings"),
    )  # fmt: skip


FAMILIES = {"deberta": deberta, "deberta-v2": deberta}
