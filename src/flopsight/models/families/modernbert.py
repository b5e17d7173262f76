"""Encoders with rotary positions: ModernBERT (local and global layers), its decoder, Nomic BERT, Jina v3, EuroBERT."""

from __future__ import annotations

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, pre_norm_layer
from flopsight.models.blocks.encoder import NO_DECODE, classifier, head_of, inside, labels, mlm_head, pooler
from flopsight.models.blocks.mlp import gated_mlp, plain_mlp
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.masks import Both, Causal, Full, Mask, Window
from flopsight.parts.norm import Norm
from flopsight.parts.vector import softmax


def masks(c: Config, *, causal: bool) -> list[Mask]:
    """Every third layer is global, from the first; the others see half of `local_attention` on each side."""
    layers = c.layers()
    every = c.maybe("global_attn_every_n_layers") or 3
    types = c.words("layer_types", count=layers)
    local = types or ["sliding_attention" if i % every else "full_attention" for i in range(layers)]
    reach = (c.maybe("local_attention", least=0) or 0) // 2
    whole: Mask = Causal() if causal else Full()
    near: Mask = (Window(reach) if reach else whole) if causal else Both(reach)
    return [near if kind == "sliding_attention" else whole for kind in local]


def modern_layer(c: Config, width: int, mask: Mask, *, first: bool, causal: bool) -> Node:
    """Pre-norm without a norm before the very first attention; fused matrices."""
    heads, bias = c.heads(width), c.flag("attention_bias", default=False)
    norm = Norm(width, "layer", bias=c.flag("norm_bias", default=False))
    e = width // heads
    split = (
        {"names": ("q_proj", "k_proj", "v_proj", "Wo")} if causal else {"fused": "Wqkv", "names": ("", "", "", "Wo")}
    )
    mixer = Attention(
        width, heads, heads, e, biases=(bias,) * 4, rotary=e, mask=mask, cached=causal, **split,
    )  # fmt: skip
    ffn = gated_mlp(
        width, c.int("intermediate_size"), bias=c.flag("mlp_bias", default=False), fused="Wi", names=("", "", "Wo"),
        activate=c.word("hidden_activation", default="gelu"),
    )  # fmt: skip
    before = None if first else leaf("attn_norm", norm, place="pre")
    return block(before, mixer.node("attn"), leaf("mlp_norm", norm, place="pre"), ffn, width=width)


def modernbert(c: Config) -> Model:
    """ModernBERT: alternating local and global attention, both ways or (the decoder) backward only."""
    causal = c.model_type == "modernbert-decoder"
    width, vocab, head = c.int("hidden_size"), c.int("vocab_size"), head_of(c, "CausalLM" if causal else "MaskedLM")
    norm = Norm(width, "layer", bias=c.flag("norm_bias", default=False))
    layers = [modern_layer(c, width, m, first=i == 0, causal=causal) for i, m in enumerate(masks(c, causal=causal))]
    table = leaf("tok_embeddings", Embedding(vocab, width))
    body = branch(
        "" if head == "Model" else "model",
        branch("embeddings", table, leaf("norm", norm, place="embedding")),
        stack("layers", layers),
        leaf("final_norm", norm, place="final"),
    )
    beside, unknown = modern_head(c, head, width, vocab, norm.bias, causal=causal)
    return Model(
        "", c.model_type, branch("", body, *beside), tied=head in ("MaskedLM", "CausalLM") and c.tied(),
        notes=() if causal else (NO_DECODE,), unknown=unknown, context=c.int("max_position_embeddings"),
    )  # fmt: skip


def modern_head(
    c: Config, head: str, width: int, vocab: int, norm_bias: bool, *, causal: bool
) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """Dense, norm, and the matrix to the vocabulary or to the classes."""
    if head == "Model":
        return (), ()
    scored = head in ("MaskedLM", "CausalLM")
    stream = "scored" if causal and scored else None if scored or head == "TokenClassification" else "sequence"
    kind = "lm_head" if scored else "other"
    dense = branch(
        "lm_head" if causal and scored else "head",
        leaf("dense", Linear(kind, width, width, c.flag("classifier_bias", default=False))),
        leaf("norm", Norm(width, "layer", bias=norm_bias, kind=kind), place="head"),
        stream=stream,
    )
    if scored:
        bias = c.flag("decoder_bias", default=True)
        return (dense, _decoder(width, vocab, bias, tied=c.tied(), stream=stream)), ()
    if head in ("SequenceClassification", "TokenClassification", "MultipleChoice"):
        outputs = 1 if head == "MultipleChoice" else labels(c)
        return (dense, classifier(width, outputs, stream=stream)), ()
    if head == "QuestionAnswering":
        return (dense, classifier(width, labels(c), stream=None)), ()
    return (), (f"The head of {head} is not known; the body alone is counted.",)


def _decoder(width: int, vocab: int, bias: bool, *, tied: bool, stream: str | None) -> Node:
    part = Linear("lm_head", width, vocab, bias, tied=tied)
    return branch("", leaf("decoder", part), leaf("sampler", softmax(vocab)), stream=stream)


def nomic_layer(c: Config, width: int) -> Node:
    """Post-norm, rotary; Nomic gates its MLP and has no biases, Jina v3 has two matrices with biases."""
    nomic = c.model_type == "nomic_bert"
    heads = c.heads(width, "num_attention_heads") if c.maybe("head_dim") is None else c.int("num_attention_heads")
    e = c.head_dim(width, heads)
    norm = Norm(width, "layer", bias=True)
    mixer = Attention(
        width, heads, heads, e, biases=(not nomic,) * 4, rotary=e, mask=Full(), cached=False
    )  # fmt: skip
    inner, activate = c.int("intermediate_size"), c.word("hidden_act")
    ffn = gated_mlp(width, inner, activate=activate) if nomic else plain_mlp(width, inner, activate=activate)
    return block(
        mixer.node(), leaf("post_attention_layernorm", norm, place="post"), ffn,
        leaf("post_mlp_layernorm", norm, place="post"), width=width,
    )  # fmt: skip


def nomic(c: Config) -> Model:
    """BERT with rotary positions."""
    width, vocab, head = c.int("hidden_size"), c.int("vocab_size"), head_of(c, "MaskedLM")
    jina = c.model_type != "nomic_bert"
    embeddings = branch(
        "embeddings",
        leaf("word_embeddings", Embedding(vocab, width, tied=jina and head == "MaskedLM" and c.tied())),
        leaf("token_type_embeddings", Embedding(c.int("type_vocab_size", least=0), width)),
        leaf("LayerNorm", Norm(width, "layer", bias=True), place="embedding"),
    )
    pooled = head == "Model" if jina else head == "SequenceClassification"
    body = (embeddings, stack("layers", [nomic_layer(c, width)] * c.layers()), pooler(width) if pooled else None)
    beside = nomic_head(c, head, width, vocab, jina=jina)
    prefix = "" if head == "Model" or beside is None else "roberta" if jina else "nomic_bert"
    unknown = () if beside is not None else (f"The head of {head} is not known; the body alone is counted.",)
    return Model(
        "", c.model_type, branch("", inside(prefix, *body), *(beside or ())), tied=head == "MaskedLM" and c.tied(),
        notes=(NO_DECODE,), unknown=unknown, context=c.int("max_position_embeddings"),
    )  # fmt: skip


def nomic_head(c: Config, head: str, width: int, vocab: int, *, jina: bool) -> tuple[Node, ...] | None:
    """The head that `architectures` names."""
    if head == "Model":
        return ()
    if head == "MaskedLM" and jina:
        return (mlm_head("lm_head", width, vocab, tied=c.tied(), dense="dense", norm="layer_norm", holds_table=True),)
    if head == "MaskedLM":
        return (mlm_head("cls.predictions", width, vocab, tied=c.tied(), norm="transform.layer_norm"),)
    if head in ("SequenceClassification", "TokenClassification") and not jina:
        return (classifier(width, labels(c), stream="sequence" if head[0] == "S" else None),)
    return None


def eurobert(c: Config) -> Model:
    """A Llama that sees both ways."""
    width, vocab, head = c.int("hidden_size"), c.int("vocab_size"), head_of(c, "MaskedLM")
    body = inside(
        "" if head == "Model" else "model",
        leaf("embed_tokens", Embedding(vocab, width)),
        stack("layers", [euro_layer(c, width)] * c.layers()),
        leaf("norm", Norm(width), place="final"),
    )
    tied = head == "MaskedLM" and c.tied()
    scorer = Linear("lm_head", width, vocab, c.flag("mlp_bias", default=False), tied=tied)
    beside = leaf("lm_head", scorer) if head == "MaskedLM" else None
    unknown = () if head in ("Model", "MaskedLM") else (f"The head of {head} is not known; the body alone is counted.",)
    return Model(
        "", c.model_type, branch("", body, beside), tied=tied, notes=(NO_DECODE,), unknown=unknown,
        context=c.int("max_position_embeddings"),
    )  # fmt: skip


def euro_layer(c: Config, width: int) -> Node:
    """Grouped queries, rotary positions, a gated MLP, RMSNorm before each."""
    heads, bias = c.int("num_attention_heads"), c.flag("attention_bias", default=False)
    e = c.head_dim(width, heads)
    mixer = Attention(
        width, heads, c.kv_heads(heads), e, biases=(bias,) * 4, rotary=e, mask=Full(), cached=False
    )  # fmt: skip
    inner, biased = c.int("intermediate_size"), c.flag("mlp_bias", default=False)
    return pre_norm_layer(
        Norm(width), mixer.node(), gated_mlp(width, inner, bias=biased, activate=c.word("hidden_act"))
    )


FAMILIES = {
    "eurobert": eurobert,
    "modernbert": modernbert,
    "modernbert-decoder": modernbert,
    "nomic_bert": nomic,
    "jina_embeddings_v3": nomic,
}
